// Small pieces the ops share.
#ifndef LOCKSTEP_ENGINE_GRAPH_OPS_COMMON_H_
#define LOCKSTEP_ENGINE_GRAPH_OPS_COMMON_H_

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/graph/graph.h"
#include "engine/plan/lowering.h"
#include "engine/text.h"
#include "kernels/error.h"

namespace lockstep {

// Throws ShapeError unless `x` is a picture (n, c, h, w).
void ExpectPicture(const TensorType& x);

Var ApplyOne(std::shared_ptr<const Op> op, std::span<const Var> inputs, const std::string& name);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_GRAPH_OPS_COMMON_H_
