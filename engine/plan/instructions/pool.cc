#include "engine/plan/instructions/pool.h"

#include "engine/plan/layouts.h"

namespace lockstep {
namespace {

// A picture of 1x1 lies alike in every layout, so the other side decides: it is the output where
// padding makes it grow.
Layout LayoutOf(const PrepareContext& context, ValueId large, ValueId small) {
  const PlanValue& value = context.values[static_cast<size_t>(large)];
  return IsPicture(value) ? value.layout : context.values[static_cast<size_t>(small)].layout;
}

}  // namespace

void PoolForward::DescribeLayouts(LayoutGroups& groups) const { groups.Tie(inputs[0], outputs[0]); }

void PoolForward::Prepare(const PrepareContext& context) {
  shape_.layout = LayoutOf(context, inputs[0], outputs[0]);
}

void PoolForward::Run(const RunContext& context) {
  context.backend->pool().Forward(shape_, context.at(inputs[0]), context.at(outputs[0]));
}

void PoolBackward::DescribeLayouts(LayoutGroups& groups) const {
  for (const ValueId id : inputs) groups.Tie(id, outputs[0]);
}

void PoolBackward::Prepare(const PrepareContext& context) {
  shape_.layout = LayoutOf(context, outputs[0], inputs[0]);
}

void PoolBackward::Run(const RunContext& context) {
  const void* x = inputs.size() > 1 ? context.at(inputs[1]) : nullptr;
  const void* y = inputs.size() > 2 ? context.at(inputs[2]) : nullptr;
  context.backend->pool().Backward(shape_, x, y, context.at(inputs[0]), context.at(outputs[0]));
}

bool PoolBackward::keeps_sums() const {
  return shape_.kind == PoolKind::kMax && shape_.windows_hold_pixels();
}

}  // namespace lockstep
