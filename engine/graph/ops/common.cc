#include "engine/graph/ops/common.h"

namespace lockstep {

void ExpectPicture(const TensorType& x) {
  if (x.shape.ndim() != 4) {
    throw ShapeError("wants a picture (n, c, h, w), got " + x.shape.ToString());
  }
}

Var ApplyOne(std::shared_ptr<const Op> op, std::span<const Var> inputs, const std::string& name) {
  return inputs.front().graph->Apply(std::move(op), inputs, name).front();
}

}  // namespace lockstep
