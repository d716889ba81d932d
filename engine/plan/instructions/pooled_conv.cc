#include "engine/plan/instructions/pooled_conv.h"

#include "engine/plan/layouts.h"

namespace lockstep {

void PooledConvInstruction::DescribeLayouts(LayoutGroups& groups) const { groups.Plain(inputs[0]); }

void PooledConvInstruction::Prepare(const PrepareContext& context) {
  const PlanValue& pooled = context.values[static_cast<size_t>(y())];
  kernel_ = context.backend.conv().MakePooled(shape_, pooled.layout);
}

PooledConvForward::PooledConvForward(const ConvShape& shape, std::vector<ValueId> in, ValueId y,
                                     std::optional<ValueId> argmax)
    : PooledConvInstruction(shape, std::move(in), {y}) {
  if (argmax) outputs.push_back(*argmax);
}

void PooledConvForward::Run(const RunContext& context) {
  kernel_->Forward(context.at(inputs[0]), context.at(inputs[1]),
                   inputs.size() > 2 ? context.at(inputs[2]) : nullptr, context.at(outputs[0]),
                   outputs.size() > 1 ? context.at<uint8_t>(outputs[1]) : nullptr, context.scratch);
}

void PooledConvBackwardWeights::Run(const RunContext& context) {
  kernel_->BackwardWeights(context.at(inputs[0]), context.at(inputs[1]),
                           context.at<uint8_t>(inputs[2]), context.at(outputs[0]), context.scratch);
}

}  // namespace lockstep
