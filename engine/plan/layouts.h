// Pass: where the channels of each picture lie, and the reorders in between.
#ifndef LOCKSTEP_ENGINE_PLAN_LAYOUTS_H_
#define LOCKSTEP_ENGINE_PLAN_LAYOUTS_H_

#include <vector>

#include "engine/plan/instruction.h"
#include "engine/plan/lowering.h"

namespace lockstep {

// Collects what the instructions say about their pictures. Values tied together share a layout; a
// group that a convolution touches takes the layout convolutions like, unless it holds a value from
// outside the arena (input, parameter, gradient): those are plain.
class LayoutGroups {
 public:
  explicit LayoutGroups(size_t values);

  void Tie(ValueId a, ValueId b);
  // The instruction at hand needs `id` plain.
  void Plain(ValueId id) { demands_.push_back({instruction_, id, true}); }
  // The instruction at hand is a convolution over `id`.
  void Convolved(ValueId id) { demands_.push_back({instruction_, id, false}); }

 private:
  friend void AssignLayouts(Lowering& lowering, const ConvKernels& conv, int policy);
  struct Demand {
    size_t instruction;
    ValueId value;
    bool plain;
  };

  ValueId Root(ValueId id);

  std::vector<ValueId> parent_;
  std::vector<Demand> demands_;
  size_t instruction_ = 0;
};

// The number of layout policies worth comparing for this program: the most that
// ConvKernels::Layouts offers any convolved picture; 1 without convolutions.
int CountLayoutPolicies(const Lowering& lowering, const ConvKernels& conv);

// Sets PlanValue::layout and inserts ReorderInstructions. Policy p takes the p-th of
// ConvKernels::Layouts (or the last there is).
void AssignLayouts(Lowering& lowering, const ConvKernels& conv, int policy);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_PLAN_LAYOUTS_H_
