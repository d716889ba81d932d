#include "engine/plan/layouts.h"

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>
#include <utility>

#include "engine/plan/instructions/elementwise.h"

namespace lockstep {
namespace {

Layout PolicyLayout(const ConvKernels& conv, const PlanValue& value, int policy) {
  const std::vector<Layout> layouts = conv.Layouts(value.type.shape[1], value.type.dtype);
  return layouts[std::min(static_cast<size_t>(policy), layouts.size() - 1)];
}

// Replaces operands that lie otherwise than an instruction needs by reordered copies.
class ReorderInserter {
 public:
  explicit ReorderInserter(Lowering& lowering) : lowering_(lowering) {}

  void Add(std::unique_ptr<Instruction> instruction, const std::map<ValueId, Layout>& needs) {
    std::vector<std::unique_ptr<Instruction>> after;
    for (const auto& need : needs) {
      const ValueId id = need.first;
      const Layout layout = need.second;
      if (lowering_.values[static_cast<size_t>(id)].layout == layout) continue;
      if (Replace(instruction->inputs, id, [&] { return Reordered(*instruction, id, layout); })) {
        continue;
      }
      const ValueId copy = Copy(id, layout);
      Replace(instruction->outputs, id, [&] { return copy; });
      after.push_back(MakeReorder(*instruction, copy, id));
    }
    done_.push_back(std::move(instruction));
    for (auto& reorder : after) done_.push_back(std::move(reorder));
  }

  std::vector<std::unique_ptr<Instruction>> Take() { return std::move(done_); }

 private:
  template <typename Make>
  static bool Replace(std::vector<ValueId>& operands, ValueId id, const Make& make) {
    const auto found = std::find(operands.begin(), operands.end(), id);
    if (found == operands.end()) return false;
    const ValueId other = make();
    std::replace(operands.begin(), operands.end(), id, other);
    return true;
  }

  ValueId Copy(ValueId id, Layout layout) {
    const PlanValue value = lowering_.values[static_cast<size_t>(id)];
    const ValueId copy = lowering_.Temporary(value.name + "/reordered", value.type);
    lowering_.values[static_cast<size_t>(copy)].layout = layout;
    lowering_.values[static_cast<size_t>(copy)].sparsity = value.sparsity;
    return copy;
  }

  std::unique_ptr<Instruction> MakeReorder(const Instruction& user, ValueId from, ValueId to) {
    auto reorder = std::make_unique<ReorderInstruction>(lowering_.type(from).dtype, from, to);
    reorder->node = user.node;
    reorder->node_name = user.node_name;
    reorder->phase = user.phase;
    reorder->Resolve(lowering_.values);
    return reorder;
  }

  // One copy serves every later reader: forward and backward weights share theirs.
  ValueId Reordered(const Instruction& user, ValueId id, Layout layout) {
    const auto key = std::make_pair(id, layout.block);
    if (const auto found = copies_.find(key); found != copies_.end()) return found->second;
    const ValueId copy = Copy(id, layout);
    done_.push_back(MakeReorder(user, id, copy));
    return copies_[key] = copy;
  }

  Lowering& lowering_;
  std::vector<std::unique_ptr<Instruction>> done_;
  std::map<std::pair<ValueId, int64_t>, ValueId> copies_;
};

}  // namespace

LayoutGroups::LayoutGroups(size_t values) : parent_(values) {
  std::iota(parent_.begin(), parent_.end(), 0);
}

ValueId LayoutGroups::Root(ValueId id) {
  while (parent_[static_cast<size_t>(id)] != id) {
    id = parent_[static_cast<size_t>(id)] =
        parent_[static_cast<size_t>(parent_[static_cast<size_t>(id)])];
  }
  return id;
}

void LayoutGroups::Tie(ValueId a, ValueId b) { parent_[static_cast<size_t>(Root(a))] = Root(b); }

int CountLayoutPolicies(const Lowering& lowering, const ConvKernels& conv) {
  size_t most = 1;
  for (const auto& instruction : lowering.instructions) {
    if (instruction->flops() == 0.0) continue;
    for (const ValueId id : instruction->outputs) {
      const PlanValue& value = lowering.values[static_cast<size_t>(id)];
      if (!IsPicture(value)) continue;
      most = std::max(most, conv.Layouts(value.type.shape[1], value.type.dtype).size());
    }
  }
  return static_cast<int>(most);
}

void AssignLayouts(Lowering& lowering, const ConvKernels& conv, int policy) {
  LayoutGroups groups(lowering.values.size());
  for (const auto& [a, b] : lowering.ties) groups.Tie(a, b);
  for (size_t i = 0; i < lowering.instructions.size(); ++i) {
    groups.instruction_ = i;
    lowering.instructions[i]->DescribeLayouts(groups);
  }

  std::vector<bool> fixed(lowering.values.size(), false), convolved(lowering.values.size(), false);
  for (size_t v = 0; v < lowering.values.size(); ++v) {
    if (lowering.values[v].storage != Storage::kArena) {
      fixed[static_cast<size_t>(groups.Root(static_cast<ValueId>(v)))] = true;
    }
  }
  for (const auto& demand : groups.demands_) {
    if (!demand.plain) convolved[static_cast<size_t>(groups.Root(demand.value))] = true;
  }
  for (size_t v = 0; v < lowering.values.size(); ++v) {
    PlanValue& value = lowering.values[v];
    const auto root = static_cast<size_t>(groups.Root(static_cast<ValueId>(v)));
    if (IsPicture(value) && convolved[root] && !fixed[root]) {
      value.layout = PolicyLayout(conv, value, policy);
    }
  }

  std::map<size_t, std::map<ValueId, Layout>> needs;
  for (const auto& demand : groups.demands_) {
    const PlanValue& value = lowering.values[static_cast<size_t>(demand.value)];
    if (!IsPicture(value)) continue;
    needs[demand.instruction][demand.value] =
        demand.plain ? Layout{} : PolicyLayout(conv, value, policy);
  }
  ReorderInserter inserter(lowering);
  for (size_t i = 0; i < lowering.instructions.size(); ++i) {
    inserter.Add(std::move(lowering.instructions[i]), needs[i]);
  }
  lowering.instructions = inserter.Take();
}

}  // namespace lockstep
