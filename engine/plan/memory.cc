#include "engine/plan/memory.h"

#include <algorithm>
#include <numeric>

#include "engine/tensor/device_memory.h"

namespace lockstep {
namespace {

// Bytes that live from one instruction to another, both included.
struct Block {
  int64_t bytes = 0;
  int first = -1, last = -1;
  int64_t offset = -1;
};

// Largest first, each at the lowest offset free over its whole life: within a few percent of the
// lower bound on these programs (Pisarchyk and Lee, 2020, "greedy by size").
int64_t Place(std::vector<Block*> blocks) {
  std::stable_sort(blocks.begin(), blocks.end(),
                   [](const Block* a, const Block* b) { return a->bytes > b->bytes; });
  std::vector<Block*> placed;  // by offset
  int64_t total = 0;
  for (Block* block : blocks) {
    int64_t offset = 0;
    for (const Block* other : placed) {
      if (other->last < block->first || block->last < other->first) continue;
      if (offset + block->bytes <= other->offset) break;
      offset = std::max(offset, other->offset + other->bytes);
    }
    block->offset = offset;
    total = std::max(total, offset + block->bytes);
    placed.insert(
        std::upper_bound(placed.begin(), placed.end(), block,
                         [](const Block* a, const Block* b) { return a->offset < b->offset; }),
        block);
  }
  return total;
}

class Placer {
 public:
  Placer(const std::vector<PlanValue>& values,
         const std::vector<std::unique_ptr<Instruction>>& instructions,
         const std::set<ValueId>& kept)
      : values_(values), instructions_(instructions), root_(values.size()), blocks_(values.size()) {
    std::iota(root_.begin(), root_.end(), 0);
    for (size_t i = 0; i < instructions.size(); ++i) {
      if (instructions[i]->is_alias()) {
        root_[static_cast<size_t>(instructions[i]->outputs[0])] =
            root_[static_cast<size_t>(instructions[i]->inputs[0])];
      }
      for (const ValueId id : instructions[i]->inputs) Touch(id, static_cast<int>(i));
      for (const ValueId id : instructions[i]->outputs) Touch(id, static_cast<int>(i));
    }
    for (const ValueId id : kept) Touch(id, static_cast<int>(instructions.size()));
  }

  void ShareDyingInputs() {
    for (size_t i = 0; i < instructions_.size(); ++i) {
      const Instruction& instruction = *instructions_[i];
      if (instruction.is_alias() || instruction.reusable_input() < 0) continue;
      const ValueId in =
          Root(instruction.inputs[static_cast<size_t>(instruction.reusable_input())]);
      const ValueId out = Root(instruction.outputs[0]);
      if (in == out || !InArena(in) || !InArena(out)) continue;
      Block& from = BlockOf(in);
      Block& to = BlockOf(out);
      if (from.last != static_cast<int>(i) || to.first != static_cast<int>(i)) continue;
      if (from.bytes != to.bytes) continue;
      from.last = to.last;
      Redirect(out, in);
    }
  }

  MemoryPlan Finish() {
    MemoryPlan plan;
    std::vector<Block> scratch(instructions_.size());
    std::vector<Block*> all;
    for (size_t v = 0; v < values_.size(); ++v) {
      if (root_[v] == static_cast<ValueId>(v) && InArena(root_[v]) && blocks_[v].first >= 0) {
        all.push_back(&blocks_[v]);
      }
    }
    for (size_t i = 0; i < instructions_.size(); ++i) {
      scratch[i].bytes = Padded(static_cast<int64_t>(instructions_[i]->scratch_bytes()));
      scratch[i].first = scratch[i].last = static_cast<int>(i);
      if (scratch[i].bytes > 0) all.push_back(&scratch[i]);
    }
    plan.bytes = Place(all);
    for (size_t v = 0; v < values_.size(); ++v) {
      plan.alias_root.push_back(root_[v]);
      plan.offset.push_back(InArena(root_[v]) ? blocks_[static_cast<size_t>(root_[v])].offset : -1);
    }
    for (const Block& block : scratch) plan.scratch_offset.push_back(block.offset);
    return plan;
  }

 private:
  ValueId Root(ValueId id) const { return root_[static_cast<size_t>(id)]; }
  Block& BlockOf(ValueId id) { return blocks_[static_cast<size_t>(id)]; }
  bool InArena(ValueId id) const {
    return values_[static_cast<size_t>(id)].storage == Storage::kArena;
  }
  void Touch(ValueId id, int when) {
    Block& block = BlockOf(Root(id));
    block.bytes = std::max(block.bytes, Padded(values_[static_cast<size_t>(id)].type.bytes()));
    if (block.first < 0) block.first = when;
    block.last = std::max(block.last, when);
  }
  void Redirect(ValueId from, ValueId to) {
    for (ValueId& root : root_) {
      if (root == from) root = to;
    }
  }

  const std::vector<PlanValue>& values_;
  const std::vector<std::unique_ptr<Instruction>>& instructions_;
  std::vector<ValueId> root_;
  std::vector<Block> blocks_;
};

}  // namespace

MemoryPlan PlaceMemory(const std::vector<PlanValue>& values,
                       const std::vector<std::unique_ptr<Instruction>>& instructions,
                       const std::set<ValueId>& kept) {
  Placer placer(values, instructions, kept);
  placer.ShareDyingInputs();
  return placer.Finish();
}

}  // namespace lockstep
