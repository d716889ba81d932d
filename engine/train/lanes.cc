#include "engine/train/lanes.h"

#include <algorithm>
#include <cmath>

#include "engine/plan/join.h"
#include "engine/train/saved_states.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

size_t RowBytes(const Graph& graph, const std::string& name, DType dtype) {
  const int id = graph.Find(name);
  if (id < 0) throw ConfigError("the network has no input named " + name);
  const TensorType& type = graph.values()[static_cast<size_t>(id)].type;
  const DType fed = IsFloating(type.dtype) ? dtype : type.dtype;
  return static_cast<size_t>(type.shape.row_size()) * SizeOf(fed);
}

// The lanes of other ranks, to GradientSums.
class GroupSums : public GradientSums::Others {
 public:
  explicit GroupSums(RankGroup& group) : group_(group) {}
  void Largest(std::vector<double>* values) override {
    std::vector<double> all(values->size() * static_cast<size_t>(group_.size()));
    group_.Gather(values->data(), values->size() * sizeof(double), all.data());
    for (size_t i = 0; i < all.size(); ++i) {
      double& value = (*values)[i % values->size()];
      value = std::max(value, all[i]);
    }
  }
  void Sum(int64_t* values, int64_t count) override { group_.Sum(values, count); }
  std::shared_ptr<std::byte> Allocate(size_t bytes) override { return group_.Allocate(bytes); }

 private:
  RankGroup& group_;
};

}  // namespace

LaneRunner::LaneRunner(const Graph& graph, Variables& variables, Backend& backend,
                       AlgorithmCache& cache, LaneOptions options, RankGroup& group)
    : graph_(graph),
      variables_(variables),
      backend_(backend),
      options_(options),
      group_(group),
      others_(group.size() > 1 ? std::make_unique<GroupSums>(group) : nullptr),
      chooser_(backend, cache, {.exact = options_.exact_math, .fixed = true}),
      gradient_sums_(variables, backend, options_.lanes, others_.get()) {
  if (options_.lanes < 1) throw ConfigError("--lanes must be at least 1");
  if (options_.lanes < group.size()) {
    throw ConfigError(std::to_string(group.size()) + " ranks are more than --lanes " +
                      std::to_string(options_.lanes) +
                      ": a rank runs whole lanes; give more lanes or fewer ranks");
  }
  const int mine = (options_.lanes + group.size() - 1) / group.size();
  if (others_) exchange_ = std::make_unique<GroupExchange>(group, static_cast<size_t>(mine));
  for (int i = 0; i < mine; ++i) arenas_.push_back(std::make_unique<Arena>(backend));
}

LaneRunner::~LaneRunner() = default;

void LaneRunner::Prepare(std::span<const int64_t> rows) {
  for (const int64_t each : rows) Cut(Mode::kTrain, each);
}

Plan* LaneRunner::PlanFor(Mode mode, size_t lane, int64_t rows) {
  auto& slot = plans_[{mode, lane, rows}];
  if (!slot) {
    // Kernels are made for one thread, as they will run.
    backend_.ForEachLane(1, [&](int) {
      slot = std::make_unique<Plan>(graph_, variables_, backend_, *arenas_[lane], chooser_,
                                    PlanOptions{.mode = mode,
                                                .batch = rows,
                                                .lane_norm = options_.norm,
                                                .fold_gradients = mode == Mode::kTrain});
    });
  }
  return slot.get();
}

std::vector<LaneRunner::Lane> LaneRunner::Cut(Mode mode, int64_t rows) {
  const BatchCut cut = CutOf(options_.lanes, options_.norm);
  const int64_t count = cut.PiecesOf(rows);
  const Range mine = PartOf(count, group_.rank(), group_.size());
  const int64_t first_row = mine.size() > 0 ? PartOf(rows, mine.begin, count).begin : 0;
  std::vector<Lane> lanes;
  for (int64_t i = mine.begin; i < mine.end; ++i) {
    const Range lane = PartOf(rows, i, count);
    Plan* plan = PlanFor(mode, lanes.size(), lane.size());
    lanes.push_back({lane.begin - first_row, lane.size(), plan});
  }
  return lanes;
}

void LaneRunner::SetInputs(const std::vector<Lane>& lanes, const Batch& batch, const std::string& x,
                           const std::string& labels) const {
  const size_t x_bytes = RowBytes(graph_, x, variables_.dtype());
  const size_t label_bytes = RowBytes(graph_, labels, variables_.dtype());
  for (const Lane& lane : lanes) {
    const auto begin = static_cast<size_t>(lane.begin);
    lane.plan->SetInput(x, static_cast<const char*>(batch.x) + begin * x_bytes);
    lane.plan->SetInput(labels, static_cast<const char*>(batch.labels) + begin * label_bytes);
  }
}

// Up to the next line that joins the lanes they run apart; all plans have the same lines.
void LaneRunner::RunLines(const std::vector<Lane>& lanes, std::vector<RunContext>* contexts) {
  Plan& first = *lanes.front().plan;
  for (size_t begin = 0; begin < first.lines();) {
    size_t end = begin;
    while (end < first.lines() && first.line(end).join_size() == 0) ++end;
    backend_.ForEachLane(static_cast<int>(lanes.size()), [&](int lane) {
      const auto i = static_cast<size_t>(lane);
      lanes[i].plan->RunLines(&(*contexts)[i], begin, end);
    });
    if (end < first.lines()) {
      RunJoin(first.line(end), *contexts, contexts->front(), exchange_.get());
    }
    begin = end + 1;
  }
}

LossSums LaneRunner::RunAll(const std::vector<Lane>& lanes, const RunInputs& inputs,
                            GradientSums* gradient_sums) {
  std::vector<LossSums> sums(lanes.size());
  std::vector<RunContext> contexts;
  for (size_t i = 0; i < lanes.size(); ++i) {
    RunInputs mine = inputs;
    if (mine.ids != nullptr) mine.ids += lanes[i].begin;
    contexts.push_back(lanes[i].plan->Start(mine, &sums[i], gradient_sums));
  }
  RunLines(lanes, &contexts);
  return AddUp(sums);
}

LossSums LaneRunner::AddUp(const std::vector<LossSums>& mine) {
  LossSums total;
  if (!exchange_) {
    for (const LossSums& lane : mine) total += lane;
    return total;
  }
  constexpr size_t kSize = 4;
  std::vector<double> given;
  for (const LossSums& lane : mine) {
    given.insert(given.end(), {lane.loss, static_cast<double>(lane.count), lane.metric,
                               static_cast<double>(lane.metric_count)});
  }
  const std::span<const double> all = exchange_->Exchange(given, kSize);
  for (size_t at = 0; at < all.size(); at += kSize) {
    total += {.loss = all[at],
              .count = static_cast<int64_t>(all[at + 1]),
              .metric = all[at + 2],
              .metric_count = static_cast<int64_t>(all[at + 3])};
  }
  return total;
}

void LaneRunner::JoinOthers(Mode mode, const Batch& batch, const std::string& x,
                            const std::string& labels) {
  Plan* const plan = PlanFor(mode, 0, 1);
  plan->SetInput(x, batch.x);
  plan->SetInput(labels, batch.labels);
  plan->RunJoinsOnly({.exchange = exchange_.get()});
}

LossSums LaneRunner::Train(const Batch& batch, uint64_t seed, const std::string& x,
                           const std::string& labels) {
  const std::vector<Lane> lanes = Cut(Mode::kTrain, batch.job_rows());
  SetInputs(lanes, batch, x, labels);
  const SavedStates states(variables_);
  const RunInputs inputs = {.seed = seed, .epoch = batch.epoch, .ids = batch.ids.data()};
  for (;;) {
    gradient_sums_.Begin();
    if (lanes.empty()) JoinOthers(Mode::kTrain, batch, x, labels);
    const LossSums total = lanes.empty() ? AddUp({}) : RunAll(lanes, inputs, &gradient_sums_);
    gradient_sums_.Agree();
    if (gradient_sums_.NotFinite() >= 0 || !std::isfinite(total.loss)) {
      states.Restore();
      if (std::isfinite(total.loss)) ThrowNotFinite();
      return total;
    }
    const bool fits = !gradient_sums_.Overflowed();
    if (fits) {
      gradient_sums_.SumOverProcesses();
      gradient_sums_.Store();
    }
    gradient_sums_.UpdateExponents();
    if (fits) return total;
    states.Restore();  // the step is done again, from where it began
  }
}

// Every rank knows it.
void LaneRunner::ThrowNotFinite() const {
  const std::string text = gradient_sums_.NotFiniteText();
  if (group_.size() > 1) throw AgreedError(ExitCode::kBadData, text);
  throw FormatError(text);
}

LossSums LaneRunner::Evaluate(const Batch& batch, const std::string& x, const std::string& labels) {
  const std::vector<Lane> lanes = Cut(Mode::kEvaluate, batch.job_rows());
  if (lanes.empty()) return AddUp({});
  SetInputs(lanes, batch, x, labels);
  return RunAll(lanes, {.epoch = batch.epoch, .ids = batch.ids.data()}, nullptr);
}

}  // namespace lockstep
