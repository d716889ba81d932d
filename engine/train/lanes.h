// The reproducible way to run a batch: as micro-batches whose results do not depend on who ran
// which, on how many threads or in what order.
#ifndef LOCKSTEP_ENGINE_TRAIN_LANES_H_
#define LOCKSTEP_ENGINE_TRAIN_LANES_H_

#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "engine/plan/arena.h"
#include "engine/plan/chooser.h"
#include "engine/plan/gradient_sums.h"
#include "engine/plan/plan.h"
#include "engine/train/batch_source.h"

namespace lockstep {

struct LaneOptions {
  int lanes = 8;
  LaneNorm norm = LaneNorm::kSync;
  bool exact_math = false;
};

// A batch of B rows is cut into contiguous lanes of B / lanes rows (some one more). Each lane runs
// on one thread with algorithms taken from a fixed order, never from a clock. Loss sums are added
// in the order of the lanes, gradients in fixed point (GradientSums). Evaluation is cut alike. With
// LaneNorm::kLane a lane has at least kMinLaneRows rows, so that small tail batches use fewer
// lanes.
class LaneRunner {
 public:
  static constexpr int64_t kMinLaneRows = 8;

  // Everything must outlive the runner.
  LaneRunner(const Graph& graph, Variables& variables, Backend& backend, AlgorithmCache& cache,
             LaneOptions options);

  // As Network::Train and Network::Evaluate.
  LossSums Train(const Batch& batch, uint64_t seed, const std::string& x,
                 const std::string& labels);
  LossSums Evaluate(const Batch& batch, const std::string& x, const std::string& labels);
  // Compiles what a training batch of `rows` runs on.
  void Prepare(int64_t rows) { Cut(Mode::kTrain, rows); }

  GradientSums& gradient_sums() { return gradient_sums_; }
  const LaneOptions& options() const { return options_; }

 private:
  struct Lane {
    int64_t begin = 0, rows = 0;
    Plan* plan = nullptr;
  };
  std::vector<Lane> Cut(Mode mode, int64_t rows);
  Plan* PlanFor(Mode mode, size_t lane, int64_t rows);
  void SetInputs(const std::vector<Lane>& lanes, const Batch& batch, const std::string& x,
                 const std::string& labels) const;
  // The lanes' sums added in their order; gradients go to `gradient_sums`, null in evaluation.
  LossSums RunAll(const std::vector<Lane>& lanes, const RunInputs& inputs,
                  GradientSums* gradient_sums);
  void RunLines(const std::vector<Lane>& lanes, std::vector<RunContext>* contexts);

  const Graph& graph_;
  Variables& variables_;
  Backend& backend_;
  LaneOptions options_;
  AlgorithmChooser chooser_;
  GradientSums gradient_sums_;
  std::vector<std::unique_ptr<Arena>> arenas_;                                // one a lane
  std::map<std::tuple<Mode, size_t, int64_t>, std::unique_ptr<Plan>> plans_;  // by lane and rows
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_LANES_H_
