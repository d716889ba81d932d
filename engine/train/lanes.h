// The reproducible way to run a batch: as micro-batches whose results do not depend on who ran
// which, on how many threads or in what order.
#ifndef LOCKSTEP_ENGINE_TRAIN_LANES_H_
#define LOCKSTEP_ENGINE_TRAIN_LANES_H_

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "engine/plan/arena.h"
#include "engine/plan/chooser.h"
#include "engine/plan/gradient_sums.h"
#include "engine/plan/plan.h"
#include "engine/train/batch_cut.h"
#include "engine/train/batch_source.h"
#include "engine/train/group_exchange.h"
#include "engine/train/rank_group.h"

namespace lockstep {

struct LaneOptions {
  int lanes = 8;
  LaneNorm norm = LaneNorm::kSync;
  // A rank runs its lanes in so many groups, one after the other, in the memory of one; at once
  // where the network joins lanes (batch normalisation). The bits are the same.
  int accumulate = 1;
  // Of several ranks: sums of gradients travel in pieces of so many bytes beside the backward pass;
  // 0: in one.
  size_t bucket_bytes = size_t{4} << 20;
  bool exact_math = false;
  std::optional<DType> compute_dtype = {};  // NetworkOptions
};

// A batch of B rows is cut into contiguous lanes of B / lanes rows (some one more). Each lane runs
// on one thread with algorithms taken from a fixed order, never from a clock. Loss sums are added
// in the order of the lanes, gradients in fixed point (GradientSums). Evaluation is cut alike. With
// LaneNorm::kLane a lane has at least kMinLaneRows rows, so that small tail batches use fewer
// lanes. A rank runs whole lanes, neighbours; of a small batch perhaps none.
class LaneRunner {
 public:
  static constexpr int64_t kMinLaneRows = 8;

  // How a batch is cut into lanes, and so over ranks.
  static BatchCut CutOf(int lanes, LaneNorm norm) {
    return {.lanes = lanes, .min_lane_rows = norm == LaneNorm::kLane ? kMinLaneRows : 1};
  }

  // Everything must outlive the runner. ConfigError (64) for more ranks than lanes.
  LaneRunner(const Graph& graph, Variables& variables, Backend& backend, AlgorithmCache& cache,
             LaneOptions options, RankGroup& group);
  ~LaneRunner();

  // As Network::Train and Network::Evaluate; `batch` holds the rows of this rank's lanes.
  LossSums Train(const Batch& batch, uint64_t seed, const std::string& x,
                 const std::string& labels);
  LossSums Evaluate(const Batch& batch, const std::string& x, const std::string& labels);
  // Compiles what batches run on that have these numbers of rows in the whole job.
  void Prepare(Mode mode, std::span<const int64_t> rows);

  // Memory for activations and scratch so far.
  size_t activation_bytes() const;
  GradientSums& gradient_sums() { return gradient_sums_; }
  const LaneOptions& options() const { return options_; }

 private:
  // What plans read: a batch as inputs of these names.
  struct Feed {
    const Batch& batch;
    const std::string &x, &labels;
  };
  struct Lane {
    int64_t begin = 0, rows = 0;  // of this rank's part of the batch
    int64_t group = 0;
    Plan* plan = nullptr;
  };
  // This rank's lanes of a batch that has `rows` in the whole job. Those of different groups share
  // plans.
  std::vector<Lane> Cut(Mode mode, int64_t rows);
  Plan* PlanFor(Mode mode, size_t slot, int64_t rows);
  // In how many groups `lanes` lanes of this many rows run.
  int64_t GroupsOf(Mode mode, int64_t lanes, int64_t rows);
  // The lanes' sums added in their order; gradients go to `gradient_sums`, null in evaluation.
  LossSums RunAll(const std::vector<Lane>& lanes, const RunInputs& inputs, const Feed& feed,
                  GradientSums* gradient_sums);
  void RunGroup(std::span<const Lane> lanes, const RunInputs& inputs, const Feed& feed,
                GradientSums* gradient_sums, bool is_last, LossSums* sums);
  // `sums`: of which these lanes are the last to add to; else null.
  void RunLines(std::span<const Lane> lanes, std::vector<RunContext>* contexts, GradientSums* sums);
  static size_t EndOfLines(const Plan& plan, size_t begin, const GradientSums* sums);
  // A part without lanes: takes part in the joins of the others.
  void JoinOthers(Mode mode, const Feed& feed);
  [[noreturn]] void ThrowBadGradient() const;
  LossSums AddUp(const std::vector<LossSums>& mine);

  const Graph& graph_;
  Variables& variables_;
  Backend& backend_;
  LaneOptions options_;
  RankGroup& group_;
  std::unique_ptr<GradientSums::Others> others_;  // null for one rank, as the next
  std::unique_ptr<GroupExchange> exchange_;
  AlgorithmChooser chooser_;
  GradientSums gradient_sums_;
  std::vector<std::unique_ptr<Arena>> arenas_;  // by place in a group, as the next
  std::map<std::tuple<Mode, size_t, int64_t>, std::unique_ptr<Plan>> plans_;  // and by rows
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_LANES_H_
