// Property test: run random programs on a model of memory and see that no value is lost.
#include "engine/plan/memory.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace lockstep {
namespace {

constexpr int64_t kCell = 64;

// An instruction that only has operands.
class Step : public Instruction {
 public:
  Step(std::vector<ValueId> in, std::vector<ValueId> out, int reusable, bool alias, size_t scratch)
      : Instruction(std::move(in), std::move(out)),
        reusable_(reusable),
        alias_(alias),
        scratch_(scratch) {}
  std::string kind() const override { return "step"; }
  void DescribeLayouts(LayoutGroups&) const override {}
  int reusable_input() const override { return reusable_; }
  bool is_alias() const override { return alias_; }
  size_t scratch_bytes() const override { return scratch_; }
  void Run(const RunContext&) override {}

 private:
  int reusable_;
  bool alias_;
  size_t scratch_;
};

struct Program {
  std::vector<PlanValue> values;
  std::vector<std::unique_ptr<Instruction>> steps;
  std::set<ValueId> kept;
};

class ProgramMaker {
 public:
  explicit ProgramMaker(uint64_t seed) : random_(seed) {}

  Program Make() {
    const int inputs = 1 + Below(3);
    for (int i = 0; i < inputs; ++i) Add(Storage::kInput, 1 + Below(500));
    const int steps = 1 + Below(40);
    for (int i = 0; i < steps; ++i) AddStep();
    for (size_t v = 0; v < program_.values.size(); ++v) {
      if (Below(12) == 0) program_.kept.insert(static_cast<ValueId>(v));
    }
    return std::move(program_);
  }

 private:
  int Below(int limit) { return static_cast<int>(random_() % static_cast<uint64_t>(limit)); }
  ValueId Add(Storage storage, int64_t elements) {
    program_.values.push_back(
        {.name = "v", .type = {{elements}, DType::kFloat32}, .layout = {}, .storage = storage});
    return static_cast<ValueId>(program_.values.size()) - 1;
  }
  int64_t SizeOf(ValueId id) const {
    return program_.values[static_cast<size_t>(id)].type.shape.size();
  }
  void AddStep() {
    std::vector<ValueId> in;
    const int count = 1 + Below(3);
    // Mostly recent values: those of long ago are dead.
    for (int i = 0; i < count; ++i) {
      const int size = static_cast<int>(program_.values.size());
      in.push_back(size - 1 - Below(std::min(size, Below(4) == 0 ? size : 6)));
    }
    const bool alias = Below(5) == 0;
    const int reusable = alias || Below(2) == 0 ? -1 : Below(count);
    const int64_t like = SizeOf(in[static_cast<size_t>(std::max(reusable, 0))]);
    std::vector<ValueId> out{Add(Storage::kArena, alias || reusable >= 0 ? like : 1 + Below(500))};
    if (!alias && Below(4) == 0) out.push_back(Add(Storage::kArena, 1 + Below(200)));
    if (alias) in.resize(1);
    const size_t scratch = alias || Below(3) != 0 ? 0 : static_cast<size_t>(Below(3000));
    program_.steps.push_back(std::make_unique<Step>(in, out, reusable, alias, scratch));
  }

  std::mt19937_64 random_;
  Program program_;
};

// Memory in cells of 64 bytes, each knowing which value was written last.
class Machine {
 public:
  Machine(const Program& program, const MemoryPlan& plan)
      : program_(program), plan_(plan), cells_(static_cast<size_t>(plan.bytes / kCell), kNothing) {}

  void Run() {
    for (size_t i = 0; i < program_.steps.size(); ++i) Run(*program_.steps[i], i);
    for (const ValueId id : program_.kept) {
      if (Written(id)) ExpectIntact(id, "kept to the end");
    }
  }

 private:
  static constexpr int kNothing = -1, kScratch = -2;

  // Aliases are the value they stand for.
  ValueId Meaning(ValueId id) const {
    const auto found = meaning_.find(id);
    return found == meaning_.end() ? id : found->second;
  }
  bool Written(ValueId id) const { return written_.contains(Meaning(id)); }
  bool InArena(ValueId id) const {
    return program_.values[static_cast<size_t>(Meaning(id))].storage == Storage::kArena;
  }
  template <typename Visit>
  void ForCells(ValueId id, const Visit& visit) {
    const PlanValue& value = program_.values[static_cast<size_t>(id)];
    const int64_t offset = plan_.offset[static_cast<size_t>(id)];
    ASSERT_GE(offset, 0);
    ASSERT_EQ(offset % kCell, 0);
    const int64_t bytes = value.type.shape.size() * 4;
    ASSERT_LE(offset + bytes, plan_.bytes);
    for (int64_t at = offset; at < offset + bytes; at += kCell) {
      visit(cells_[static_cast<size_t>(at / kCell)]);
    }
  }
  void ExpectIntact(ValueId id, const std::string& when) {
    if (!InArena(id)) return;
    ForCells(id, [&](int cell) { ASSERT_EQ(cell, Meaning(id)) << when; });
  }

  void Run(const Instruction& step, size_t i) {
    const std::string when = "step " + std::to_string(i);
    if (step.is_alias()) {
      meaning_[step.outputs[0]] = Meaning(step.inputs[0]);
      ExpectIntact(step.outputs[0], when + " alias");
      return;
    }
    const auto scratch_begin = static_cast<size_t>(plan_.scratch_offset[i] / kCell);
    const size_t scratch_cells = (step.scratch_bytes() + kCell - 1) / kCell;
    for (size_t c = 0; c < scratch_cells; ++c) cells_.at(scratch_begin + c) = kScratch;
    for (const ValueId id : step.inputs) ExpectIntact(id, when + " reads");
    for (const ValueId id : step.outputs) {
      ForCells(id, [&](int& cell) { cell = id; });
      written_.insert(id);
    }
    for (const ValueId id : step.outputs) ExpectIntact(id, when + " writes");
    for (size_t c = 0; c < scratch_cells; ++c) {
      ASSERT_EQ(cells_.at(scratch_begin + c), kScratch) << when << " scratch";
    }
    // Only the input that may be taken over may be gone while the instruction still runs.
    const int reusable = step.reusable_input();
    for (const ValueId id : step.inputs) {
      const bool taken =
          reusable >= 0 && Meaning(id) == Meaning(step.inputs[static_cast<size_t>(reusable)]);
      if (!taken) ExpectIntact(id, when + " still reads");
    }
  }

  const Program& program_;
  const MemoryPlan& plan_;
  std::vector<int> cells_;
  std::map<ValueId, ValueId> meaning_;
  std::set<ValueId> written_;
};

TEST(Memory, NoValueIsOverwrittenWhileSomethingStillReadsIt) {
  for (uint64_t seed = 0; seed < 2000 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Program program = ProgramMaker(seed).Make();
    const MemoryPlan plan = PlaceMemory(program.values, program.steps, program.kept);
    Machine(program, plan).Run();
  }
}

PlanValue Value(int64_t elements, Storage storage = Storage::kArena) {
  return {.name = "v", .type = {{elements}, DType::kFloat32}, .layout = {}, .storage = storage};
}

TEST(Memory, ChainNeedsTwoBuffersAndInPlaceChainOne) {
  for (const int reusable : {-1, 0}) {
    std::vector<PlanValue> values{Value(160, Storage::kInput)};
    std::vector<std::unique_ptr<Instruction>> steps;
    for (ValueId i = 0; i < 6; ++i) {
      values.push_back(Value(160));
      steps.push_back(std::make_unique<Step>(std::vector<ValueId>{i}, std::vector<ValueId>{i + 1},
                                             reusable, false, 0));
    }
    EXPECT_EQ(PlaceMemory(values, steps, {}).bytes, (reusable < 0 ? 2 : 1) * 640);
  }
}

TEST(Memory, KeptValueIsNotTakenOver) {
  std::vector<PlanValue> values{Value(16, Storage::kInput), Value(16), Value(16)};
  std::vector<std::unique_ptr<Instruction>> steps;
  for (ValueId i = 0; i < 2; ++i) {
    steps.push_back(
        std::make_unique<Step>(std::vector<ValueId>{i}, std::vector<ValueId>{i + 1}, 0, false, 0));
  }
  EXPECT_EQ(PlaceMemory(values, steps, {1}).bytes, 128);
  EXPECT_EQ(PlaceMemory(values, steps, {}).bytes, 64);
}

}  // namespace
}  // namespace lockstep
