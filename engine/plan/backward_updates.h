// Updates of parameters while the backward pass still runs, each as its gradient is computed: that
// need not travel to memory and back.
#ifndef LOCKSTEP_ENGINE_PLAN_BACKWARD_UPDATES_H_
#define LOCKSTEP_ENGINE_PLAN_BACKWARD_UPDATES_H_

#include "engine/plan/lowering.h"
#include "kernels/gemm.h"
#include "kernels/softmax.h"

namespace lockstep {

// Who updates.
class BackwardUpdates {
 public:
  virtual ~BackwardUpdates() = default;
  // Between the forward and the backward pass, with the sums of the whole batch. False: this step
  // updates nothing on its way.
  virtual bool Begin(const LossSums& sums) = 0;
  // The update of the parameter `graph_value`, which the caller makes, once.
  virtual ProductUpdate UpdateOf(int graph_value) = 0;
};

// What lines have in common that make the gradient of a layer's weights, their output 0, and may
// update the weights by it instead: then nobody finds the gradient there.
class WeightsGradient {
 public:
  virtual ~WeightsGradient() = default;
  // Whether that gains anything, on a backend of these kernels.
  virtual bool CanUpdate(const GemmKernels& gemm) const = 0;

  int parameter = -1;  // set by FindBackwardUpdates: the graph value that may be updated here
};

// Pass: tells the lines that may update parameters so, and lets those of a layer's weights follow
// what else reads these. Such a line alone makes the gradient, can update it
// (WeightsGradient::CanUpdate), and behind it no line reads the parameter and no custom operation,
// which may fail, would leave a step half done.
void FindBackwardUpdates(Lowering& lowering, const GemmKernels& gemm);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_PLAN_BACKWARD_UPDATES_H_
