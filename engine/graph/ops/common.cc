#include "engine/graph/ops/common.h"

#include <array>
#include <charconv>

namespace lockstep {

std::string Text(double value) {
  std::array<char, 32> buffer{};
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return {buffer.data(), result.ptr};
}

void ExpectPicture(const TensorType& x) {
  if (x.shape.ndim() != 4) {
    throw ShapeError("wants a picture (n, c, h, w), got " + x.shape.ToString());
  }
}

Var ApplyOne(std::shared_ptr<const Op> op, std::span<const Var> inputs, const std::string& name) {
  return inputs.front().graph->Apply(std::move(op), inputs, name).front();
}

}  // namespace lockstep
