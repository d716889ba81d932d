#include "engine/train/lanes.h"

#include <algorithm>
#include <cmath>

#include "engine/plan/join.h"
#include "engine/train/accumulation.h"
#include "engine/train/gradient_check.h"
#include "engine/train/saved_states.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

// The lanes of other ranks, to GradientSums.
class GroupSums : public GradientSums::Others {
 public:
  explicit GroupSums(RankGroup& group) : group_(group) {}
  int rank() const override { return group_.rank(); }
  int size() const override { return group_.size(); }
  void Largest(std::vector<double>* values) override {
    std::vector<double> all(values->size() * static_cast<size_t>(group_.size()));
    group_.Gather(values->data(), values->size() * sizeof(double), all.data());
    for (size_t i = 0; i < all.size(); ++i) {
      double& value = (*values)[i % values->size()];
      value = std::max(value, all[i]);
    }
  }
  void Sum(int64_t* values, int64_t count) override { group_.Sum(values, count); }
  void StartSum(std::shared_ptr<int64_t> values, int64_t count) override {
    group_.StartSum(std::move(values), count);
  }
  void FinishSums() override { group_.FinishSums(); }
  bool Reaches(const Backend& device) const override { return group_.Reaches(device); }
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
      gradient_sums_(variables, backend, options_.lanes, others_.get(), options_.bucket_bytes) {
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

void LaneRunner::Prepare(Mode mode, std::span<const int64_t> rows) {
  for (const int64_t each : rows) Cut(mode, each);
}

Plan* LaneRunner::PlanFor(Mode mode, size_t slot, int64_t rows) {
  auto& plan = plans_[{mode, slot, rows}];
  if (!plan) {
    // Kernels are made for one thread, as they will run.
    backend_.ForEachLane(1, [&](int) {
      plan = std::make_unique<Plan>(graph_, variables_, backend_, *arenas_[slot], chooser_,
                                    PlanOptions{.mode = mode,
                                                .batch = rows,
                                                .compute_dtype = options_.compute_dtype,
                                                .lane_norm = options_.norm,
                                                .fold_gradients = mode == Mode::kTrain});
    });
  }
  return plan.get();
}

size_t LaneRunner::activation_bytes() const {
  size_t bytes = 0;
  for (const auto& arena : arenas_) bytes += arena->size();
  return bytes;
}

// Lanes that meet are all under way at once.
int64_t LaneRunner::GroupsOf(Mode mode, int64_t lanes, int64_t rows) {
  if (options_.accumulate == 1 || lanes == 0) return 1;
  const Plan& plan = *PlanFor(mode, 0, rows);
  for (size_t i = 0; i < plan.lines(); ++i) {
    if (plan.line(i).join_size() > 0) return 1;
  }
  return std::min<int64_t>(options_.accumulate, lanes);
}

std::vector<LaneRunner::Lane> LaneRunner::Cut(Mode mode, int64_t rows) {
  const BatchCut cut = CutOf(options_.lanes, options_.norm);
  const int64_t count = cut.PiecesOf(rows);
  const Range mine = PartOf(count, group_.rank(), group_.size());
  const int64_t first_row = mine.size() > 0 ? PartOf(rows, mine.begin, count).begin : 0;
  const int64_t groups = GroupsOf(mode, mine.size(), PartOf(rows, mine.begin, count).size());
  std::vector<Lane> lanes;
  for (int64_t group = 0; group < groups; ++group) {
    const Range places = PartOf(mine.size(), group, groups);
    for (int64_t i = places.begin; i < places.end; ++i) {
      const Range lane = PartOf(rows, mine.begin + i, count);
      Plan* const plan = PlanFor(mode, static_cast<size_t>(i - places.begin), lane.size());
      lanes.push_back({lane.begin - first_row, lane.size(), group, plan});
    }
  }
  return lanes;
}

// Behind `begin`: a line that joins the lanes, or where a piece of gradients can be sent.
size_t LaneRunner::EndOfLines(const Plan& plan, size_t begin, const GradientSums* sums) {
  size_t end = begin;
  while (end < plan.lines() && plan.line(end).join_size() == 0) {
    ++end;
    if (sums != nullptr && sums->Sends(plan.ready_after(end - 1))) break;
  }
  return end;
}

// Up to such lines lanes run apart; all plans have the same lines.
void LaneRunner::RunLines(std::span<const Lane> lanes, std::vector<RunContext>* contexts,
                          GradientSums* sums) {
  Plan& first = *lanes.front().plan;
  for (size_t begin = 0; begin < first.lines();) {
    const size_t end = EndOfLines(first, begin, sums);
    backend_.ForEachLane(static_cast<int>(lanes.size()), [&](int lane) {
      const auto i = static_cast<size_t>(lane);
      lanes[i].plan->RunLines(&(*contexts)[i], begin, end);
    });
    if (sums != nullptr && end > begin) sums->Ready(first.ready_after(end - 1));
    begin = end;
    if (end == first.lines() || first.line(end).join_size() == 0) continue;
    RunJoin(first.line(end), *contexts, contexts->front(), exchange_.get());
    if (sums != nullptr) sums->Ready(first.ready_after(end));
    ++begin;
  }
}

LossSums LaneRunner::RunAll(const std::vector<Lane>& lanes, const RunInputs& inputs,
                            const Feed& feed, GradientSums* gradient_sums) {
  std::vector<LossSums> sums(lanes.size());
  for (size_t begin = 0, end = 0; begin < lanes.size(); begin = end) {
    while (end < lanes.size() && lanes[end].group == lanes[begin].group) ++end;
    RunGroup(std::span(lanes).subspan(begin, end - begin), inputs, feed, gradient_sums,
             end == lanes.size(), sums.data() + begin);
  }
  return AddUp(sums);
}

void LaneRunner::RunGroup(std::span<const Lane> lanes, const RunInputs& inputs, const Feed& feed,
                          GradientSums* gradient_sums, bool is_last, LossSums* sums) {
  const size_t x_bytes = RowBytes(graph_, feed.x, variables_.dtype());
  const size_t label_bytes = RowBytes(graph_, feed.labels, variables_.dtype());
  std::vector<RunContext> contexts;
  for (size_t i = 0; i < lanes.size(); ++i) {
    const Lane& lane = lanes[i];
    const Batch rows =
        RowsOf(feed.batch, {lane.begin, lane.begin + lane.rows}, x_bytes, label_bytes);
    lane.plan->SetInput(feed.x, rows.x, rows.preparation);
    lane.plan->SetInput(feed.labels, rows.labels);
    RunInputs mine = inputs;
    mine.ids = rows.ids.data();
    contexts.push_back(lane.plan->Start(mine, gradient_sums));
  }
  RunLines(lanes, &contexts, is_last ? gradient_sums : nullptr);
  for (size_t i = 0; i < lanes.size(); ++i) sums[i] = lanes[i].plan->Sums();
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

void LaneRunner::JoinOthers(Mode mode, const Feed& feed) {
  Plan* const plan = PlanFor(mode, 0, 1);
  plan->SetInput(feed.x, feed.batch.x, feed.batch.preparation);
  plan->SetInput(feed.labels, feed.batch.labels);
  RunHooks hooks{.exchange = exchange_.get()};
  if (mode == Mode::kTrain) {
    hooks.gradients_ready = [this](int64_t end) { gradient_sums_.Ready(end); };
  }
  plan->RunJoinsOnly(hooks);
}

LossSums LaneRunner::Train(const Batch& batch, uint64_t seed, const std::string& x,
                           const std::string& labels) {
  const std::vector<Lane> lanes = Cut(Mode::kTrain, batch.job_rows());
  const Feed feed{batch, x, labels};
  const SavedStates states(variables_, backend_);
  const RunInputs inputs = {.seed = seed, .epoch = batch.epoch};
  for (;;) {
    gradient_sums_.Begin();
    if (lanes.empty()) JoinOthers(Mode::kTrain, feed);
    const LossSums total = RunAll(lanes, inputs, feed, &gradient_sums_);
    gradient_sums_.Agree();
    if (gradient_sums_.NotFinite() >= 0 || !std::isfinite(total.loss)) {
      states.Restore();
      if (std::isfinite(total.loss)) ThrowBadGradient();
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

void LaneRunner::ThrowBadGradient() const {
  const auto entry = static_cast<size_t>(gradient_sums_.NotFinite());
  throw BadGradientError(variables_.entries()[entry].name, gradient_sums_.RankOfNotFinite());
}

LossSums LaneRunner::Evaluate(const Batch& batch, const std::string& x, const std::string& labels) {
  const std::vector<Lane> lanes = Cut(Mode::kEvaluate, batch.job_rows());
  return RunAll(lanes, {.epoch = batch.epoch}, {batch, x, labels}, nullptr);
}

}  // namespace lockstep
