// Pass: several instructions that walk the same memory become one.
#ifndef LOCKSTEP_ENGINE_PLAN_FUSION_H_
#define LOCKSTEP_ENGINE_PLAN_FUSION_H_

#include <set>

#include "engine/plan/lowering.h"
#include "kernels/backend.h"

namespace lockstep {

// Runs after gradients are derived and removes only values that no instruction reads any more:
//   training    batch norm + ReLU (+ dropout, or where the device can (NormKernels::pooled) + max
//               pooling by 2x2), forward and backward; a bias in front of a max pooling sums up
//               the gradient behind it; a ReLU between a convolution and a max
//               pooling comes behind that
//   evaluation  batch norm into its convolution's weights, batch norm + ReLU
//   both        convolution or linear + ReLU; where the device can (ConvKernels::can_pool) and
//               nothing wants the gradient of its input, convolution + max pooling by 2x2, of which
//               a ReLU between them comes behind
// (Softmax and its loss are one instruction from the start.) `kept` values are never removed.
void Fuse(Lowering& lowering, const std::set<ValueId>& kept, Backend& backend);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_PLAN_FUSION_H_
