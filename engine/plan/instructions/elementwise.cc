#include "engine/plan/instructions/elementwise.h"

#include "engine/plan/layouts.h"
#include "kernels/math/philox.h"

namespace lockstep {
void ElementsInstruction::DescribeLayouts(LayoutGroups& groups) const {
  for (const ValueId input : inputs) groups.Tie(input, outputs[0]);
}

void ElementsInstruction::Prepare(const PrepareContext& context) {
  size_ = context.values[static_cast<size_t>(outputs[0])].type.shape.size();
}

void AddInstruction::Run(const RunContext& context) {
  context.backend->elementwise().Add(dtype_, size_, context.at(inputs[0]), context.at(inputs[1]),
                                     context.at(outputs[0]));
}

void ScaleInstruction::Run(const RunContext& context) {
  context.backend->elementwise().Scale(dtype_, factor_, size_, context.at(inputs[0]),
                                       context.at(outputs[0]));
}

void LossScaleInstruction::Run(const RunContext& context) {
  context.backend->elementwise().ScaleBy(dtype_, &scale_->scale, size_, context.at(inputs[0]),
                                         context.at(outputs[0]));
}

void CastInstruction::Run(const RunContext& context) {
  context.backend->elementwise().Cast(from_, to_, size_, context.at(inputs[0]),
                                      context.at(outputs[0]));
}

void ReorderInstruction::Resolve(const std::vector<PlanValue>& values) {
  const PlanValue& from = values[static_cast<size_t>(inputs[0])];
  shape_ = PictureOf(from.type.shape);
  from_ = from.layout;
  to_ = values[static_cast<size_t>(outputs[0])].layout;
}

void ReorderInstruction::Run(const RunContext& context) {
  context.backend->elementwise().Reorder(dtype_, shape_, from_, to_, context.at(inputs[0]),
                                         context.at(outputs[0]));
}

void ReshapeInstruction::DescribeLayouts(LayoutGroups& groups) const {
  groups.Plain(inputs[0]);
  groups.Plain(outputs[0]);
}

void IdentityInstruction::DescribeLayouts(LayoutGroups& groups) const {
  groups.Tie(inputs[0], outputs[0]);
}

void ActivationForward::Run(const RunContext& context) {
  context.backend->elementwise().ActivationForward(dtype_, function, slope_, size_,
                                                   context.at(inputs[0]), context.at(outputs[0]));
}

void ActivationBackward::Run(const RunContext& context) {
  context.backend->elementwise().ActivationBackward(dtype_, function_, slope_, size_,
                                                    context.at(inputs[0]), context.at(inputs[1]),
                                                    context.at(outputs[0]));
}

DropoutArgs MakeDropout(const RunContext& context, double ratio, uint64_t node_hash) {
  return {.ratio = ratio,
          .key = RandomKey(context.seed, node_hash, RandomUse::kDropout),
          .epoch = context.epoch,
          .sample_ids = context.ids};
}

void DropoutInstruction::DescribeLayouts(LayoutGroups& groups) const {
  groups.Tie(inputs[0], outputs[0]);
}

void DropoutInstruction::Prepare(const PrepareContext& context) {
  const PlanValue& y = context.values[static_cast<size_t>(outputs[0])];
  shape_ = PictureOf(y.type.shape);
  layout_ = y.layout;
}

void DropoutInstruction::Run(const RunContext& context) {
  const DropoutArgs args = MakeDropout(context, ratio, hash);
  RandomKernels& kernels = context.backend->random();
  if (backward_) {
    kernels.DropoutBackward(dtype_, shape_, layout_, args, context.at(inputs[0]),
                            context.at(outputs[0]));
  } else {
    kernels.DropoutForward(dtype_, shape_, layout_, args, context.at(inputs[0]),
                           context.at(outputs[0]));
  }
}

void ChannelCopy::Prepare(const PrepareContext& context) {
  const auto operand = [&](ValueId id) {
    const PlanValue& value = context.values[static_cast<size_t>(id)];
    return Operand{PictureOf(value.type.shape), value.layout};
  };
  x_.clear();
  for (const ValueId id : inputs) x_.push_back(operand(id));
  y_ = operand(outputs[0]);
}

void ChannelCopy::Run(const RunContext& context) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    context.backend->elementwise().CopyChannels(
        dtype_, x_[i].shape, x_[i].layout, ranges_[i].from, context.at(inputs[i]), y_.shape,
        y_.layout, ranges_[i].to, ranges_[i].channels, context.at(outputs[0]));
  }
}

}  // namespace lockstep
