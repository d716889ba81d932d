// A graph with its variables and the plans for the batch sizes that come.
#ifndef LOCKSTEP_ENGINE_TRAIN_NETWORK_H_
#define LOCKSTEP_ENGINE_TRAIN_NETWORK_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>

#include "engine/graph/graph.h"
#include "engine/plan/arena.h"
#include "engine/plan/chooser.h"
#include "engine/plan/plan.h"
#include "engine/plan/variables.h"
#include "engine/train/accumulation.h"
#include "engine/train/batch_source.h"
#include "engine/train/group_exchange.h"
#include "engine/train/lanes.h"
#include "engine/train/late_sums.h"
#include "engine/train/rank_group.h"

namespace lockstep {

struct NetworkOptions {
  DType dtype = DType::kFloat32;  // kFloat32 or kFloat64
  // Mixed precision: kFloat16 or kBfloat16 for activations, their gradients and copies of weights.
  // Inputs, parameters, their gradients, states and the loss stay kFloat32, and so do sums. None:
  // all is of `dtype`.
  std::optional<DType> compute_dtype = {};
  LossScaling loss_scaling = {};  // kFloat16 only, and always there
  uint64_t seed = 0;
  std::set<std::string> frozen = {};  // parameters that are not trained
  // The reproducible mode: batches run as this many lanes (engine/train/lanes.h); 0: the fast one.
  int lanes = 0;
  LaneNorm lane_norm = LaneNorm::kSync;
  // Each rank runs its rows of a batch in so many parts, one after the other, in the memory that
  // one of them takes; gradients are still those of the whole batch. In the fast mode batch
  // normalisation sees a part, and running statistics follow each.
  int accumulate = 1;
  bool exact_math = false;  // no Winograd: errors of an ordinary sum of products
  // The ranks that train this network together, which must outlive it; null: one.
  RankGroup* group = nullptr;
  // In the fast mode: batch normalisation over the samples of all ranks, not of each alone.
  bool norm_over_ranks = false;
  // In the reproducible mode: of pieces in which sums of gradients travel (LaneOptions).
  size_t lane_bucket_bytes = size_t{4} << 20;
  // Where the timed choices of algorithms are remembered; empty: only in this object.
  std::string algorithm_file = {};
  std::function<bool()> should_hurry = {};  // AlgorithmChooser::Options
  // Names of the graph's inputs.
  std::string x = "x", labels = "t";
};

// What goes with a batch on a device that nobody waits for.
struct LateTraining {
  LossSums* sums = nullptr;  // in the device's memory
  // What is begun in front of the forward pass and behind the backward pass, as part of what the
  // device repeats.
  std::function<void()> before = {}, behind = {};
  std::map<const Plan*, RepeatedWork>* work = nullptr;
};

// Plans for training, evaluation and tail batches share one arena. Used from one thread; graph and
// backend must outlive it. Variables start as their initializers say. Every rank of a group makes
// its own of the same graph; AgreedError (76) where they differ.
class Network {
 public:
  Network(const Graph& graph, Backend& backend, NetworkOptions options = {});

  // Forward and backward: gradients of the sum of the losses are then in variables(). Where the
  // loss is not finite the running statistics are those from before. In the fast mode gradients
  // and sums are those of this rank's rows, and `ready` hears of gradients as they become final;
  // in the reproducible mode they are those of the whole job.
  // With `updates`, of one rank in the fast mode that runs batches whole, parameters may be updated
  // before it returns or throws; those have no gradients then.
  LossSums Train(const Batch& batch, const GradientsReady& ready = nullptr,
                 BackwardUpdates* updates = nullptr);
  // The same on a device that nobody waits for, of one rank in the fast mode: adds to late.sums.
  // Running statistics follow the batch whatever its loss is.
  void TrainLate(const Batch& batch, const LateTraining& late);
  // Loss and metric with running statistics and without dropout; of this rank's rows, or of the
  // whole job, as Train.
  LossSums Evaluate(const Batch& batch);
  // The same on a device that nobody waits for: what batches come to is kept there. In the fast
  // mode only; ConfigError with lanes. EvaluateAll() begins anew: what was kept before it is lost.
  void EvaluateLate(const Batch& batch);
  // Of all batches since it was last called, added in their order; waits for them.
  LossSums TakeEvaluated();
  // Gradients that a batch without a sample that counts leaves: none.
  void ClearGradients();
  // The graph's output for rows of plain (n,) + sample shape of this network's dtype.
  Tensor Predict(const Tensor& x);

  // Throws ShapeError (65) naming found and wanted unless batches of the source are what the
  // graph's inputs take: a batch is bare memory, so nothing could tell later.
  void RequireFits(const BatchSource& source) const;
  // Throws ConfigError where training batches of `samples` in the whole job have fewer than one for
  // each part of each rank.
  void RequireParts(int64_t samples) const;

  // Compiles and times what batches with these numbers of rows are trained or evaluated on, which
  // takes seconds for a large network the first time. Ranks take turns, and later ones take over
  // the choices of those before: every rank calls it, with the numbers of its own.
  void Prepare(Mode mode, std::span<const int64_t> rows);
  // The plan that a batch of `rows` runs on; compiled at first use.
  Plan& plan(Mode mode, int64_t rows);

  RankGroup& group() const { return *group_; }
  // Whether sums over ranks are made while a batch runs, and not after it.
  bool meets_ranks() const;

  const Graph& graph() const { return graph_; }
  Backend& backend() const { return backend_; }
  Variables& variables() { return variables_; }
  const Variables& variables() const { return variables_; }
  const NetworkOptions& options() const { return options_; }
  AlgorithmCache& algorithms() { return cache_; }
  // Memory for activations and scratch so far.
  size_t activation_bytes() const;
  // Null in the fast mode.
  LaneRunner* lanes() { return lanes_.get(); }
  // Writes the choices made since the file was read, if any; never fails the caller.
  void RememberAlgorithms() noexcept;
  void RecallAlgorithms();

 private:
  LossSums Run(Mode mode, const Batch& batch, const RunHooks& hooks = {},
               LossSums* late_sums = nullptr);
  // In how many parts every rank runs its rows of a batch with so many in the whole job.
  int64_t PartsOf(const Batch& batch) const;
  Batch PartOfBatch(const Batch& batch, int64_t part, int64_t parts) const;
  LossSums TrainParts(const Batch& batch, const GradientsReady& ready, BackwardUpdates* updates);
  LossSums TrainPart(const Batch& batch, const GradientsReady& ready, BackwardUpdates* updates);
  void TrainOnNothing(const Batch& batch, const GradientsReady& ready);
  LossSums EvaluateParts(const Batch& batch, LossSums* late_sums);
  // Of the parts of batches with these numbers of rows, those that no plan is there for.
  std::vector<int64_t> RowsToCompile(Mode mode, std::span<const int64_t> rows) const;
  void RequireFits(const std::string& input, const TensorType& found, const char* what) const;

  const Graph& graph_;
  Backend& backend_;
  NetworkOptions options_;
  OneRank alone_;
  RankGroup* group_;
  Variables variables_;
  Arena arena_;
  AlgorithmCache cache_;
  AlgorithmChooser chooser_;
  std::map<std::pair<Mode, int64_t>, std::unique_ptr<Plan>> plans_;
  std::unique_ptr<LaneRunner> lanes_;
  std::unique_ptr<GroupExchange> exchange_;     // of norm_over_ranks
  std::unique_ptr<Accumulation> accumulation_;  // null where batches are run at once
  std::unique_ptr<LateSums> evaluated_;         // made when it is first needed
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_NETWORK_H_
