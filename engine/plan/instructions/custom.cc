#include "engine/plan/instructions/custom.h"

#include "engine/plan/layouts.h"
#include "kernels/error.h"

namespace lockstep {

void CustomInstruction::DescribeLayouts(LayoutGroups& groups) const {
  for (const ValueId id : inputs) groups.Plain(id);
  for (const ValueId id : outputs) groups.Plain(id);
}

void CustomInstruction::Prepare(const PrepareContext& context) {
  if (!context.backend.shares_host_memory()) {
    throw DeviceError(node_name + ": op " + op_.type() +
                      " is computed on the CPU; this plan is for " + context.backend.name());
  }
  types_.resize(context.values.size());
  for (const auto* ids : {&inputs, &outputs}) {
    for (const ValueId id : *ids) {
      types_[static_cast<size_t>(id)] = context.values[static_cast<size_t>(id)].type;
    }
  }
}

std::vector<Tensor> CustomInstruction::Views(const RunContext& context,
                                             const std::vector<ValueId>& ids) const {
  std::vector<Tensor> views;
  for (const ValueId id : ids) {
    if (id < 0) {
      views.emplace_back();
    } else {
      const TensorType& type = types_[static_cast<size_t>(id)];
      views.push_back(Tensor::Wrap(type.dtype, type.shape, context.at(id), nullptr));
    }
  }
  return views;
}

void CustomForward::Run(const RunContext& context) {
  const std::vector<Tensor> in = Views(context, inputs);
  std::vector<Tensor> out = Views(context, outputs);
  op_.Compute({in, out, training_});
}

CustomBackward::CustomBackward(const CustomOp& op, const Operands& operands)
    : CustomInstruction(op, operands.in, {}),
      op_inputs_(operands.in.size()),
      op_outputs_(operands.out.size()) {
  inputs.insert(inputs.end(), operands.out.begin(), operands.out.end());
  for (const ValueId id : operands.out_gradients) {
    has_out_gradient_.push_back(id >= 0);
    if (id >= 0) inputs.push_back(id);
  }
  for (const ValueId id : operands.in_gradients) {
    wants_in_gradient_.push_back(id >= 0);
    if (id >= 0) outputs.push_back(id);
  }
}

std::vector<ValueId> CustomBackward::Pick(const std::vector<ValueId>& from, size_t begin,
                                          const std::vector<bool>& there) {
  std::vector<ValueId> ids;
  ids.reserve(there.size());
  for (const bool is_there : there) ids.push_back(is_there ? from[begin++] : -1);
  return ids;
}

void CustomBackward::Run(const RunContext& context) {
  const auto begin = inputs.begin();
  const auto middle = begin + static_cast<std::ptrdiff_t>(op_inputs_);
  const auto end = middle + static_cast<std::ptrdiff_t>(op_outputs_);
  const std::vector<Tensor> in = Views(context, {begin, middle});
  const std::vector<Tensor> out = Views(context, {middle, end});
  const std::vector<Tensor> out_gradients =
      Views(context, Pick(inputs, op_inputs_ + op_outputs_, has_out_gradient_));
  std::vector<Tensor> in_gradients = Views(context, Pick(outputs, 0, wants_in_gradient_));
  op_.Differentiate({in, out, out_gradients, in_gradients});
}

}  // namespace lockstep
