// A graph compiled for one batch size, mode, dtype and device: a flat list of kernel calls with
// every buffer placed.
#ifndef LOCKSTEP_ENGINE_PLAN_PLAN_H_
#define LOCKSTEP_ENGINE_PLAN_PLAN_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/graph/graph.h"
#include "engine/plan/arena.h"
#include "engine/plan/chooser.h"
#include "engine/plan/instruction.h"
#include "engine/plan/join.h"
#include "engine/plan/lowering.h"
#include "engine/plan/memory.h"
#include "engine/plan/prepared_input.h"
#include "engine/plan/repeated_work.h"
#include "engine/plan/run_memory.h"
#include "engine/plan/variables.h"

namespace lockstep {

struct PlanOptions {
  Mode mode = Mode::kTrain;
  int64_t batch = 1;
  // Mixed precision: kFloat16 or kBfloat16 beside variables of kFloat32; none: their dtype.
  std::optional<DType> compute_dtype = {};
  bool input_gradients = false;  // derive gradients of floating inputs too
  bool fuse = true;
  bool backward_updates = false;  // RunHooks::updates may be given
  // Of a plan that runs one lane of a batch: see LoweringOptions.
  LaneNorm lane_norm = LaneNorm::kSync;
  bool fold_gradients = false;
};

// Keys of the random numbers and names of the rows of one run.
struct RunInputs {
  uint64_t seed = 0;
  int64_t epoch = 0;
  const int64_t* ids = nullptr;  // (batch,) global sample ids; null: 0, 1, 2, ...
  // Where the run adds its sums, in the device's memory, for later: it returns zeros and waits for
  // nothing. Null: it waits for them.
  LossSums* sums = nullptr;
};

// Called between lines of a backward pass: elements [0, end) of the gradients' flat block will not
// change any more. `end` rises.
using GradientsReady = std::function<void(int64_t end)>;

// What a training run tells others while it goes on.
struct RunHooks {
  GradientsReady gradients_ready = {};
  LaneExchange* exchange = nullptr;  // where other processes run lanes of the same batch
  // Of parameters on the way, on a device that shares the host's memory: what is updated then has
  // no gradient in Variables.
  BackwardUpdates* updates = nullptr;
  // What is begun in front of the first line and behind the last one. Where neither of the above is
  // there, the device may repeat all this from its second run on.
  std::function<void()> before = {}, behind = {};
  // Where that is remembered; null: in the plan, which then knows of nothing but its lines.
  RepeatedWork* work = nullptr;
};

// Graph, variables, backend, arena and chooser must outlive the plan. One thread at a time.
class Plan {
 public:
  Plan(const Graph& graph, Variables& variables, Backend& backend, Arena& arena,
       AlgorithmChooser& chooser, const PlanOptions& options);
  ~Plan();

  // The array that graph input `name` reads from now on: plain, (batch,) + sample shape, alive
  // during Run. Throws ConfigError for an unknown name; an input that this mode does not use is
  // accepted and ignored. With a preparation the rows are those as stored that it speaks of, and
  // the device makes the input of them. ShapeError for one of other rows and DeviceError without
  // memory for these leave what was set before.
  void SetInput(const std::string& name, const void* data,
                const std::shared_ptr<const PicturePreparation>& preparation = nullptr);

  // Executes every line. In kTrain the gradients of the *sum* of the losses are then in Variables;
  // returns the sums of the batch (zeros in kPredict), behind all lines.
  LossSums Run(const RunInputs& inputs, const RunHooks& hooks = {});
  // Takes part in the joins of a batch of which no lane runs here; gradients are said to be ready
  // between the same joins as in Run.
  void RunJoinsOnly(const RunHooks& hooks);
  // The same, and adds each line's seconds to `seconds` (one entry a line).
  LossSums RunTimed(const RunInputs& inputs, std::vector<double>* seconds);

  // The pieces of a run, for plans that run as lanes of one batch (engine/train/lanes.h): what to
  // hand to each line, and the lines [begin, end). Both outlive the context.
  RunContext Start(const RunInputs& inputs, GradientSums* gradient_sums = nullptr);
  void RunLines(RunContext* context, size_t begin, size_t end);
  LossSums Sums() const { return run_memory_->TakeSums(); }
  Instruction& line(size_t i) { return *instructions_[i]; }

  // Copies of what the last Run computed. ConfigError without one, or when another plan has run on
  // the arena or enlarged it since. With a loss scale the gradient is times it, as all are.
  Tensor Output() const;
  Tensor InputGradient(const std::string& name) const;

  // Behind line i, of Variables' flat gradients: how many elements are final, or were added to
  // GradientSums.
  int64_t ready_after(size_t i) const { return ready_after_[i]; }
  int64_t batch() const { return options_.batch; }
  size_t lines() const { return instructions_.size(); }
  const Instruction& line(size_t i) const { return *instructions_[i]; }
  // Bytes a line reads and writes, scratch excluded.
  int64_t LineBytes(size_t i) const;
  double flops() const;
  int64_t arena_bytes() const { return memory_.bytes; }
  // One row a line: kind, node, algorithm, shapes and layouts, bytes, FLOP.
  std::string ToString() const;
  // Name, shape and layout of a value: "predictor/block1_1 (64, 64, 32, 32) c16".
  std::string ValueText(ValueId id) const;

 private:
  void Compile(AlgorithmChooser& chooser);
  Lowering Lower() const;
  int BestLayoutPolicy(AlgorithmChooser& chooser) const;
  std::set<ValueId> Kept(const Lowering& lowering) const;
  void MakeRunMemory();
  void ResolvePointers();
  void SetPreparation(size_t input, const std::shared_ptr<const PicturePreparation>& preparation);
  void* PlaceOf(size_t input) const;
  RunContext Feed(const RunInputs& inputs, GradientSums* gradient_sums);
  void FeedInputs();
  void PrepareInputs(const RunContext& context) const;
  void CheckInputs() const;
  void FindReadyLines();
  void RunLine(RunContext* context, size_t i);
  void TellReady(size_t line, const RunHooks& hooks, int64_t* told) const;
  void RunLineJoined(RunContext* context, size_t i, LaneExchange* exchange);
  void RunJoined(RunContext* context, const RunHooks& hooks);
  // In front of every line.
  void BeginUpdates(size_t line, BackwardUpdates* updates, RunContext* context) const;
  Tensor Copy(ValueId id) const;

  const Graph& graph_;
  Variables& variables_;
  Backend& backend_;
  Arena& arena_;
  PlanOptions options_;

  std::vector<PlanValue> values_;
  std::vector<std::unique_ptr<Instruction>> instructions_;
  std::vector<ValueId> value_of_;
  std::map<int, ValueId> input_gradient_of_;
  MemoryPlan memory_;
  std::vector<void*> pointers_;
  std::vector<const void*> inputs_;  // by graph value
  std::vector<size_t> read_inputs_;  // the graph values among them that lines read
  std::unique_ptr<RunMemory> run_memory_;
  std::map<size_t, PreparedInput> prepared_;  // of read_inputs_
  int64_t preparations_ = 0;                  // how often that has changed
  // By line: elements of the flat gradients that are final behind it; the same as before it where
  // it finishes none.
  std::vector<int64_t> ready_after_;
  size_t first_backward_ = 0;  // line; lines() where there is none
  std::vector<int64_t> default_ids_;
  int generation_ = -1;
  uint64_t claim_ = 0;  // of the arena, by the last run
  RepeatedWork work_;   // all lines
  bool inputs_changed_ = true;
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_PLAN_PLAN_H_
