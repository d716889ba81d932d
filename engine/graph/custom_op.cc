#include "engine/graph/custom_op.h"

#include <algorithm>

#include "engine/plan/instructions/custom.h"
#include "engine/plan/lowering.h"

namespace lockstep {
namespace {

// Where the gradient of input i goes, or -1. All are written before any is added up, so an input
// that comes twice needs memory of its own the second time.
ValueId InGradient(Lowering& lowering, const std::vector<ValueId>& in, size_t i) {
  if (!lowering.NeedsGradient(in[i])) return -1;
  const auto here = in.begin() + static_cast<std::ptrdiff_t>(i);
  if (std::find(in.begin(), here, in[i]) == here) return lowering.NewGradient(in[i]);
  const std::string& name = lowering.values[static_cast<size_t>(in[i])].name;
  return lowering.Temporary(name + "/grad", lowering.type(in[i]));
}

}  // namespace

void CustomOp::Forward(Lowering& lowering, const NodeView& node) const {
  lowering.Emit(
      std::make_unique<CustomForward>(*this, lowering.mode() == Mode::kTrain, node.in, node.out));
}

void CustomOp::Backward(Lowering& lowering, const NodeView& node) const {
  CustomBackward::Operands operands{node.in, node.out, {}, {}};
  for (const ValueId id : node.out) operands.out_gradients.push_back(lowering.GradientOf(id));
  for (size_t i = 0; i < node.in.size(); ++i) {
    operands.in_gradients.push_back(InGradient(lowering, node.in, i));
  }
  lowering.Emit(std::make_unique<CustomBackward>(*this, operands));
  for (size_t i = 0; i < node.in.size(); ++i) {
    if (operands.in_gradients[i] >= 0) lowering.Contribute(node.in[i], operands.in_gradients[i]);
  }
}

}  // namespace lockstep
