#include "engine/train/lanes.h"

#include <algorithm>
#include <cmath>

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

}  // namespace

LaneRunner::LaneRunner(const Graph& graph, Variables& variables, Backend& backend,
                       AlgorithmCache& cache, LaneOptions options)
    : graph_(graph),
      variables_(variables),
      backend_(backend),
      options_(options),
      chooser_(backend, cache, {.exact = options_.exact_math, .fixed = true}),
      gradient_sums_(variables, backend, options_.lanes) {
  if (options_.lanes < 1) throw ConfigError("--lanes must be at least 1");
  for (int i = 0; i < options_.lanes; ++i) arenas_.push_back(std::make_unique<Arena>(backend));
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
  int64_t count = std::min<int64_t>(options_.lanes, rows);
  if (options_.norm == LaneNorm::kLane) {
    count = std::clamp<int64_t>(rows / kMinLaneRows, 1, options_.lanes);
  }
  std::vector<Lane> lanes;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t begin = rows * i / count;
    const int64_t size = rows * (i + 1) / count - begin;
    lanes.push_back({begin, size, PlanFor(mode, static_cast<size_t>(i), size)});
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
    while (end < first.lines() && !first.line(end).joins_lanes()) ++end;
    backend_.ForEachLane(static_cast<int>(lanes.size()), [&](int lane) {
      const auto i = static_cast<size_t>(lane);
      lanes[i].plan->RunLines(&(*contexts)[i], begin, end);
    });
    if (end < first.lines()) first.line(end).RunJoined(*contexts);
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
  LossSums total;
  for (const LossSums& lane : sums) total += lane;
  return total;
}

LossSums LaneRunner::Train(const Batch& batch, uint64_t seed, const std::string& x,
                           const std::string& labels) {
  const std::vector<Lane> lanes = Cut(Mode::kTrain, batch.rows);
  SetInputs(lanes, batch, x, labels);
  const SavedStates states(variables_);
  const RunInputs inputs = {.seed = seed, .epoch = batch.epoch, .ids = batch.ids.data()};
  for (;;) {
    gradient_sums_.Begin();
    const LossSums total = RunAll(lanes, inputs, &gradient_sums_);
    if (gradient_sums_.NotFinite() >= 0 || !std::isfinite(total.loss)) {
      states.Restore();
      if (std::isfinite(total.loss)) gradient_sums_.ThrowNotFinite();
      return total;
    }
    const bool fits = !gradient_sums_.Overflowed();
    if (fits) gradient_sums_.Store();
    gradient_sums_.UpdateExponents();
    if (fits) return total;
    states.Restore();  // the step is done again, from where it began
  }
}

LossSums LaneRunner::Evaluate(const Batch& batch, const std::string& x, const std::string& labels) {
  const std::vector<Lane> lanes = Cut(Mode::kEvaluate, batch.rows);
  SetInputs(lanes, batch, x, labels);
  return RunAll(lanes, {.epoch = batch.epoch, .ids = batch.ids.data()}, nullptr);
}

}  // namespace lockstep
