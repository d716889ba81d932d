#include "engine/train/network.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <string>

#include "engine/text.h"
#include "engine/train/posix_file.h"
#include "engine/train/publish.h"
#include "engine/train/rank_facts.h"
#include "engine/train/saved_states.h"
#include "kernels/conv.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

// Empty where there is none.
std::string ReadIfThere(const std::string& path) {
  if (access(path.c_str(), F_OK) != 0) return "";
  return ReadSmallFile(path, size_t{4} << 20);
}

std::string DTypeText(const NetworkOptions& options) {
  const DType compute = options.compute_dtype.value_or(options.dtype);
  const std::string text(Name(options.dtype));
  return compute == options.dtype ? text : text + ", computed in " + std::string(Name(compute));
}

std::string LanesText(const NetworkOptions& options) {
  if (options.lanes == 0) return "none";
  return Text(int64_t{options.lanes}) + (options.lane_norm == LaneNorm::kSync
                                             ? " with statistics of all"
                                             : " with statistics of their own");
}

// Gradients lie where sums over ranks need no copies. Those of one rank are not summed, and of
// lanes other numbers are (GradientSums). Ranks ask for that memory together, so what decides about
// it is compared first.
std::function<std::shared_ptr<void>(size_t)> GradientMemory(const Graph& graph, RankGroup& group,
                                                            const NetworkOptions& options) {
  RequireEqual(group, {{"the network", Hexadecimal(graph.Hash())},
                       {"its dtype", DTypeText(options)},
                       {"the number of lanes", LanesText(options)}});
  if (group.size() == 1 || options.lanes > 0) return nullptr;
  return [&group](size_t bytes) { return group.Allocate(bytes); };
}

void RequireMixable(const NetworkOptions& options) {
  const DType compute = options.compute_dtype.value_or(options.dtype);
  if (compute == DType::kFloat16 && options.lanes > 0) {
    throw ConfigError(
        "the reproducible mode takes no float16, whose loss scale would follow what each lane "
        "overflows; compute in bfloat16 or float32");
  }
  if (compute == options.dtype || (options.dtype == DType::kFloat32 && IsHalf(compute))) return;
  throw ConfigError("a network of " + std::string(Name(options.dtype)) + " does not compute in " +
                    std::string(Name(compute)) + "; one of float32 does in float16 and bfloat16");
}

std::string TypeText(const Shape& row, DType dtype) {
  return std::string(Name(dtype)) + " " + row.ToString();
}

}  // namespace

Network::Network(const Graph& graph, Backend& backend, NetworkOptions options)
    : graph_(graph),
      backend_(backend),
      options_(std::move(options)),
      group_(options_.group != nullptr ? options_.group : &alone_),
      variables_(graph, backend, options_.dtype, options_.frozen,
                 GradientMemory(graph, *group_, options_)),
      arena_(backend),
      cache_(backend.fingerprint() + " threads " + std::to_string(backend.threads()) +
             " generation " + std::to_string(kConvGeneration)),
      chooser_(backend, cache_,
               {.exact = options_.exact_math,
                .fixed = options_.lanes > 0,
                .should_hurry = options_.should_hurry}) {
  RecallAlgorithms();
  RequireMixable(options_);
  if (options_.accumulate < 1) throw ConfigError("--accumulate must be at least 1");
  variables_.Initialize(options_.seed);
  if (options_.compute_dtype == DType::kFloat16) variables_.ScaleLoss(options_.loss_scaling);
  if (options_.lanes > 0) {
    lanes_ = std::make_unique<LaneRunner>(graph, variables_, backend, cache_,
                                          LaneOptions{.lanes = options_.lanes,
                                                      .norm = options_.lane_norm,
                                                      .accumulate = options_.accumulate,
                                                      .bucket_bytes = options_.lane_bucket_bytes,
                                                      .exact_math = options_.exact_math,
                                                      .compute_dtype = options_.compute_dtype},
                                          *group_);
    return;
  }
  if (options_.norm_over_ranks && group_->size() > 1) {
    exchange_ = std::make_unique<GroupExchange>(*group_);
  }
  if (options_.accumulate > 1) accumulation_ = std::make_unique<Accumulation>(variables_, backend);
}

Plan& Network::plan(Mode mode, int64_t rows) {
  auto& slot = plans_[{mode, rows}];
  if (!slot) {
    slot = std::make_unique<Plan>(
        graph_, variables_, backend_, arena_, chooser_,
        PlanOptions{.mode = mode,
                    .batch = rows,
                    .compute_dtype = options_.compute_dtype,
                    .backward_updates = group_->size() == 1 && options_.accumulate == 1});
    RememberAlgorithms();
  }
  return *slot;
}

size_t Network::activation_bytes() const {
  return lanes_ ? lanes_->activation_bytes() : arena_.size();
}

bool Network::meets_ranks() const {
  return exchange_ != nullptr || (lanes_ != nullptr && group_->size() > 1);
}

std::vector<int64_t> Network::RowsToCompile(Mode mode, std::span<const int64_t> rows) const {
  std::vector<int64_t> sizes;
  for (const int64_t each : rows) {
    const int64_t parts = std::min<int64_t>(each, options_.accumulate);
    for (int64_t i = 0; i < parts; ++i) {
      const int64_t size = PartOf(each, i, parts).size();
      if (!plans_.contains({mode, size})) sizes.push_back(size);
    }
  }
  return sizes;
}

void Network::Prepare(Mode mode, std::span<const int64_t> rows) {
  if (lanes_) return lanes_->Prepare(mode, rows);
  const std::vector<int64_t> sizes = RowsToCompile(mode, rows);
  if (!AnyRank(*group_, !sizes.empty())) return;
  for (int turn = 0; turn < group_->size(); ++turn) {
    const bool mine = turn == group_->rank();
    if (mine) {
      for (const int64_t size : sizes) plan(mode, size);
    }
    if (group_->size() == 1) return;
    const std::string choices = BroadcastText(*group_, mine ? cache_.ToString() : "", turn);
    if (!mine) cache_.Parse(choices);
  }
}

void Network::RequireFits(const BatchSource& source) const {
  RequireFits(options_.x, source.sample_type(), "samples");
  RequireFits(options_.labels, source.label_type(), "labels");
}

void Network::RequireFits(const std::string& input, const TensorType& found,
                          const char* what) const {
  const int id = graph_.Find(input);
  if (id < 0) throw ConfigError("the network has no input named " + input);
  const TensorType& type = graph_.values()[static_cast<size_t>(id)].type;
  const Shape row(type.shape.dims().subspan(1));
  const DType dtype = IsFloating(type.dtype) ? options_.dtype : type.dtype;
  if (found.shape == row && found.dtype == dtype) return;
  throw ShapeError(std::string("the ") + what + " of the data are " +
                       TypeText(found.shape, found.dtype) + ", the network's input " + input +
                       " wants " + TypeText(row, dtype),
                   ExitCode::kBadData);
}

void Network::RequireParts(int64_t samples) const {
  const int64_t parts = int64_t{options_.accumulate} * group_->size();
  if (options_.accumulate == 1 || parts <= samples) return;
  throw ConfigError("--accumulate " + std::to_string(options_.accumulate) + " on " +
                    Counted(group_->size(), "process", "processes") + " makes " +
                    std::to_string(parts) + " parts of a batch of " + std::to_string(samples) +
                    " samples; give fewer parts or a larger --batch-size");
}

LossSums Network::Run(Mode mode, const Batch& batch, const RunHooks& hooks, LossSums* late_sums) {
  Plan& plan = this->plan(mode, batch.rows);
  plan.SetInput(options_.x, batch.x, batch.preparation);
  plan.SetInput(options_.labels, batch.labels);
  return plan.Run(
      {.seed = options_.seed, .epoch = batch.epoch, .ids = batch.ids.data(), .sums = late_sums},
      hooks);
}

void Network::ClearGradients() {
  backend_.Clear(variables_.gradients(),
                 static_cast<size_t>(variables_.flat_size()) * SizeOf(variables_.dtype()));
}

// As many as the rank with the most rows has rows, at most: every rank runs the same number of
// them, so that ranks may meet in each, and only the first ones of a rank with fewer rows are
// empty.
int64_t Network::PartsOf(const Batch& batch) const {
  const int64_t most_rows = (batch.job_rows() + group_->size() - 1) / group_->size();
  return std::clamp<int64_t>(most_rows, 1, options_.accumulate);
}

Batch Network::PartOfBatch(const Batch& batch, int64_t part, int64_t parts) const {
  if (parts == 1) return batch;
  return RowsOf(batch, PartOf(batch.rows, part, parts),
                RowBytes(graph_, options_.x, options_.dtype),
                RowBytes(graph_, options_.labels, options_.dtype));
}

LossSums Network::Train(const Batch& batch, const GradientsReady& ready, BackwardUpdates* updates) {
  if (lanes_) return lanes_->Train(batch, options_.seed, options_.x, options_.labels);
  const SavedStates states(variables_, backend_);
  const LossSums sums = TrainParts(batch, ready, updates);
  if (!std::isfinite(sums.loss)) states.Restore();
  return sums;
}

LossSums Network::TrainParts(const Batch& batch, const GradientsReady& ready,
                             BackwardUpdates* updates) {
  const int64_t parts = PartsOf(batch);
  if (parts == 1) return TrainPart(batch, ready, updates);
  accumulation_->Begin();
  LossSums sums;
  for (int64_t i = 0; i < parts - 1; ++i) {
    const Batch part = PartOfBatch(batch, i, parts);
    sums += TrainPart(part, part.rows > 0 ? accumulation_->Keep() : nullptr, nullptr);
  }
  return sums +=
         TrainPart(PartOfBatch(batch, parts - 1, parts), accumulation_->Finish(ready), nullptr);
}

LossSums Network::TrainPart(const Batch& batch, const GradientsReady& ready,
                            BackwardUpdates* updates) {
  if (batch.rows > 0) {
    return Run(Mode::kTrain, batch,
               {.gradients_ready = ready, .exchange = exchange_.get(), .updates = updates});
  }
  TrainOnNothing(batch, ready);
  return {};
}

// Parts are not repeated: gradients are kept in between.
void Network::TrainLate(const Batch& batch, const LateTraining& late) {
  const int64_t parts = PartsOf(batch);
  if (parts > 1) accumulation_->Begin();
  for (int64_t i = 0; i < parts; ++i) {
    const Batch part = PartOfBatch(batch, i, parts);
    RunHooks hooks;
    if (i == 0) hooks.before = late.before;
    if (i == parts - 1) hooks.behind = late.behind;
    if (parts == 1) {
      hooks.work = &(*late.work)[&plan(Mode::kTrain, part.rows)];
    } else {
      hooks.gradients_ready =
          i < parts - 1 ? accumulation_->Keep() : accumulation_->Finish(nullptr);
    }
    Run(Mode::kTrain, part, hooks, late.sums);
  }
}

// This rank's part of the batch is empty; the others may still need it in their joins.
void Network::TrainOnNothing(const Batch& batch, const GradientsReady& ready) {
  ClearGradients();
  if (!exchange_) return;
  Plan& plan = this->plan(Mode::kTrain, 1);
  plan.SetInput(options_.x, batch.x, batch.preparation);
  plan.SetInput(options_.labels, batch.labels);
  plan.RunJoinsOnly({.gradients_ready = ready, .exchange = exchange_.get()});
}

LossSums Network::Evaluate(const Batch& batch) {
  if (lanes_) return lanes_->Evaluate(batch, options_.x, options_.labels);
  return EvaluateParts(batch, nullptr);
}

void Network::EvaluateLate(const Batch& batch) {
  if (lanes_) throw ConfigError("lanes are not evaluated late: Evaluate() adds them up at once");
  if (!evaluated_) evaluated_ = std::make_unique<LateSums>(backend_);
  evaluated_->Add([&](LossSums* sums) { EvaluateParts(batch, sums); });
}

LossSums Network::TakeEvaluated() { return evaluated_ ? evaluated_->Take() : LossSums{}; }

LossSums Network::EvaluateParts(const Batch& batch, LossSums* late_sums) {
  const int64_t parts = PartsOf(batch);
  LossSums sums;
  for (int64_t i = 0; i < parts; ++i) {
    const Batch part = PartOfBatch(batch, i, parts);
    if (part.rows > 0) sums += Run(Mode::kEvaluate, part, {}, late_sums);
  }
  return sums;
}

Tensor Network::Predict(const Tensor& x) {
  const int input = graph_.Find(options_.x);
  if (input < 0) throw ConfigError("the network has no input named " + options_.x);
  const Shape& wanted = graph_.values()[static_cast<size_t>(input)].type.shape;
  if (x.shape().ndim() == 0 || !(x.shape().WithDim(0, 1) == wanted)) {
    throw ShapeError("input has shape " + x.shape().ToString() + "; the network wants " +
                         wanted.ToString() + " with any number of rows",
                     ExitCode::kBadData);
  }
  const Tensor cast = x.Cast(options_.dtype);
  Plan& plan = this->plan(Mode::kPredict, x.shape()[0]);
  plan.SetInput(options_.x, cast.data());
  plan.Run({});
  return plan.Output();
}

void Network::RecallAlgorithms() {
  if (options_.algorithm_file.empty()) return;
  try {
    cache_.Parse(ReadIfThere(options_.algorithm_file));
  } catch (const IoError&) {
    // Only time is lost.
  }
}

// What cannot be read is not written either: it may be what others have measured.
void Network::RememberAlgorithms() noexcept {
  if (options_.algorithm_file.empty() || !cache_.changed()) return;
  try {
    cache_.AddFrom(ReadIfThere(options_.algorithm_file));
    Publish(options_.algorithm_file, cache_.ToString());
    cache_.MarkSaved();
  } catch (const std::exception&) {
    // Only time is lost: the next process measures again.
  }
}

}  // namespace lockstep
