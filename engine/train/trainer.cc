#include "engine/train/trainer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>

#include "engine/tensor/host_array.h"
#include "engine/text.h"
#include "engine/train/gradient_check.h"
#include "engine/train/rank_check.h"
#include "engine/train/state.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

// The first row of the batch with a value that is not finite, or -1.
int64_t FirstBadRow(Backend& backend, const void* data, const TensorType& type, int64_t rows) {
  if (!IsFloating(type.dtype)) return -1;
  const int64_t row = type.shape.size();
  const DeviceView view(backend, data, static_cast<size_t>(rows * type.bytes()));
  const int64_t bad = backend.reduce().FirstNonFinite(type.dtype, rows * row, view.data());
  return bad < 0 ? -1 : bad / row;
}

// Whether every row has the label -1, which is ignored.
bool AllIgnored(const Batch& batch, const TensorType& label) {
  if (label.dtype != DType::kInt32) return false;
  const auto* labels = static_cast<const int32_t*>(batch.labels);
  return std::all_of(labels, labels + batch.rows * label.shape.size(),
                     [](int32_t value) { return value == -1; });
}

// What extensions left for each other.
std::map<std::string, double> Observation(const CheckpointContents& contents) {
  const std::string prefix = "observation/";
  std::map<std::string, double> observation;
  for (const auto& [name, value] : contents.values) {
    if (name.starts_with(prefix)) observation[name.substr(prefix.size())] = contents.Real(name);
  }
  return observation;
}

}  // namespace

Trainer::Trainer(Network& network, BatchSource& source, Updater& updater, const Schedule& schedule,
                 ParamSync& sync, TrainerOptions options)
    : network_(network),
      source_(source),
      updater_(updater),
      schedule_(schedule),
      sync_(sync),
      options_(std::move(options)) {
  if (options_.learning_rate == 0.0) {
    options_.learning_rate = updater_.optimizer().default_learning_rate();
  }
  network_.RequireFits(source_);
  network_.RequireParts(source_.batch_size());
  if (network_.lanes() != nullptr && sync_.state() != nullptr) {
    throw ConfigError(
        "the reproducible mode takes neither 16 bits on the wire nor double buffering");
  }
  if (StepsLate()) late_ = std::make_unique<LateSteps>(network_, updater_);
}

bool Trainer::StepsLate() const {
  return !network_.backend().shares_host_memory() && network_.lanes() == nullptr &&
         network_.group().size() == 1 && sync_.is_local() &&
         network_.variables().loss_scale() == nullptr;
}

void Trainer::Extend(std::unique_ptr<Extension> extension) {
  extensions_.push_back(std::move(extension));
}

ScheduleTime Trainer::Now() const {
  const SourcePosition position = source_.position();
  return {.iteration = clock_.iteration,
          .epoch = clock_.epoch,
          .epoch_fraction = static_cast<double>(position.epoch) +
                            static_cast<double>(position.offset) /
                                static_cast<double>(std::max<int64_t>(source_.size(), 1))};
}

double Trainer::learning_rate() const { return schedule_.Rate(options_.learning_rate, Now()); }

bool Trainer::Done() const {
  return (options_.epochs > 0 && clock_.epoch >= options_.epochs) ||
         (options_.iterations > 0 && clock_.iteration >= options_.iterations);
}

std::string Trainer::Where() const {
  return "at iteration " + std::to_string(clock_.iteration) + ", epoch " +
         std::to_string(source_.position().epoch + 1);
}

std::string Trainer::WhereIn(const Batch& batch) const {
  return "at iteration " + std::to_string(clock_.iteration + 1) + ", epoch " +
         std::to_string(batch.epoch + 1);
}

// Parameters first: of a bad one running statistics follow in the same step.
const Variables::Entry* Trainer::BadVariable() const {
  for (const Role role : {Role::kParameter, Role::kState}) {
    for (const Variables::Entry& entry : network_.variables().entries()) {
      if (entry.role != role || !IsFloating(entry.type.dtype)) continue;
      if (network_.backend().reduce().FirstNonFinite(entry.type.dtype, entry.type.shape.size(),
                                                     entry.data) >= 0) {
        return &entry;
      }
    }
  }
  return nullptr;
}

void Trainer::CheckWeights(const std::string& where, StepShare* share) const {
  const Variables::Entry* const bad = BadVariable();
  if (bad == nullptr) return;
  if (share != nullptr && bad->role == Role::kParameter) share->names_the_cause = 1;
  throw FormatError(where + ": " + bad->name +
                    " is not finite: training diverged; lower the learning rate");
}

void Trainer::CheckFinite(const LossSums& sums, const Batch& batch, StepShare* share) const {
  if (std::isfinite(sums.loss)) return;
  Backend& backend = network_.backend();
  int64_t row = -1;  // bytes are finite, whatever is made of them
  if (!batch.preparation) {
    row = FirstBadRow(backend, batch.x, source_.sample_type(), batch.rows);
  }
  if (row < 0) row = FirstBadRow(backend, batch.labels, source_.label_type(), batch.rows);
  const std::string where = "the loss is " + Text(sums.loss) + " " + WhereIn(batch);
  if (row >= 0) {
    share->names_the_cause = 1;
    throw FormatError(where + ": " + source_.Describe(batch.ids[static_cast<size_t>(row)]) +
                      " holds a value that is not finite; remove or repair it");
  }
  CheckWeights(where + "; the data is finite", share);
  throw FormatError(where +
                    " though data and weights are finite: training diverged; lower the "
                    "learning rate");
}

// Halved time and again it says that no scale would do. It is the same on every rank.
void Trainer::CheckLossScale(const Batch& batch) const {
  constexpr double kLeast = 0x1p-14;  // where gradients of 65504 * 2^14, about 1e9, overflow
  const Variables& variables = network_.variables();
  if (variables.loss_scale() == nullptr) return;
  const double next = variables.GetLossScale().scale;
  if (next >= kLeast) return;
  throw AgreedError(ExitCode::kBadData,
                    "gradients are not finite " + WhereIn(batch) + " even at a loss scale of " +
                        Text(next / variables.loss_scaling().backoff) +
                        ": training diverged; lower the learning rate, or compute "
                        "in bfloat16 or float32");
}

const Batch& Trainer::FetchBatch() {
  if (!network_.meets_ranks()) return source_.Next();
  // Nobody may be missing where ranks meet in the middle of a batch.
  const Batch* batch = nullptr;
  std::exception_ptr failure;
  try {
    batch = &source_.Next();
  } catch (const Error&) {
    failure = std::current_exception();
  }
  AgreeOnFailure(network_.group(), failure);
  return *batch;
}

BackwardUpdates* Trainer::UpdatesInBackward(double rate) {
  const bool alone = network_.lanes() == nullptr && network_.group().size() == 1;
  if (!alone || !sync_.is_local() || options_.keep_gradients) return nullptr;
  return updater_.UpdatesInBackward(rate);
}

StepShare Trainer::Compute(const Batch& batch, const GradientsReady& ready,
                           BackwardUpdates* updates) {
  StepShare share;
  bool counts = !AllIgnored(batch, source_.label_type());
  if (network_.meets_ranks()) counts = AnyRank(network_.group(), counts);
  if (!counts) {
    network_.ClearGradients();
    return share;
  }
  try {
    share.sums = network_.Train(batch, ready, updates);
  } catch (const BadGradientError& bad) {
    const FormatError here(BadGradientText(bad.parameter(), WhereIn(batch)));
    ThrowFailureOf(network_.group(), bad.rank(), std::make_exception_ptr(here));
  }
  share.state_rows = batch.rows;
  return share;
}

void Trainer::RequireWholeSteps() const {
  if (!updater_.half_done()) return;
  throw Error(ExitCode::kBug,
              "the step " + Where() + " failed while it updated weights: go back to a checkpoint");
}

void Trainer::Step() {
  if (late_) return StepLate();
  RequireWholeSteps();
  if (!compared_) RequireSameOnAllRanks();
  const double rate = learning_rate();
  StepShare mine;
  std::exception_ptr failure;
  bool last_of_epoch = false;
  Enter(StepPart::kData);
  ledger_.GoOnFrom(source_.position());
  const bool in_parts =
      network_.lanes() == nullptr && !options_.keep_gradients && updater_.TakesParts();
  sync_.BeginStep(network_.variables(), in_parts);
  const Batch* batch = nullptr;
  try {
    batch = &FetchBatch();
    last_of_epoch = batch->last_of_epoch;
    Enter(StepPart::kCompute);
    const GradientsReady ready = [&](int64_t end) { sync_.Ready(network_.variables(), end); };
    mine = Compute(*batch, ready, UpdatesInBackward(rate));
    mine.used.Add(batch->ids);
    CheckFinite(mine.sums, *batch, &mine);
  } catch (const Error&) {
    // A rank that leaves without a word lets the others wait in the sums that follow. Where ranks
    // have met already only ending this process tells them.
    if (network_.meets_ranks() && std::isfinite(mine.sums.loss)) throw;
    failure = std::current_exception();
    mine.failed = 1;
    updater_.BreakOff();
  }
  Enter(StepPart::kFinish);
  std::span<const GradientPart> parts;
  if (network_.lanes() == nullptr) parts = sync_.FinishGradients(network_.variables());
  Enter(StepPart::kOther);
  mine.bad_sums =
      !failure && ChecksSums() && !sync_.ShareOfSumsIsFinite(network_.variables()) ? 1 : 0;
  const AgreedStep step = Agree(mine);
  if (step.failed_rank >= 0) ThrowFailureOf(network_.group(), step.failed_rank, failure);
  if (step.bad_sums) ThrowBadGradient(*batch);
  if (!network_.meets_ranks()) {
    sync_.AverageStates(network_.variables(), mine.state_rows, step.state_rows);
  }
  Enter(StepPart::kUpdate);
  updater_.Update(sync_.CountOf(step.sums.count), rate, parts);
  CheckLossScale(*batch);
  Enter(StepPart::kOther);
  Report(step.sums);
  EndStep(step, last_of_epoch);
}

void Trainer::EndStep(const AgreedStep& step, bool last_of_epoch) {
  ++clock_.iteration;
  clock_.epoch_ended = last_of_epoch;
  ledger_.Add(step.used, source_.position());
  if (late_ && (last_of_epoch || late_->full())) Settle();
  if (last_of_epoch) ledger_.EndEpoch(source_, ++clock_.epoch);
  if (meter_) meter_->EndStep(clock_.iteration);
  for (const auto& extension : extensions_) {
    if (extension->trigger().Fires(clock_)) Invoke(*extension);
  }
}

void Trainer::StepLate() {
  RequireWholeSteps();
  const double rate = learning_rate();
  Enter(StepPart::kData);
  const LateSteps::Start start{clock_, source_.position(), updater_.updates()};
  ledger_.GoOnFrom(start.position);
  const Batch& batch = source_.Next();
  Enter(StepPart::kCompute);
  if (AllIgnored(batch, source_.label_type())) {
    late_->Skip(start);
  } else {
    late_->Train(batch, rate, start);
  }
  Enter(StepPart::kOther);
  StepShare mine;
  mine.used.Add(batch.ids);
  EndStep(Agree(mine), batch.last_of_epoch);
}

void Trainer::Settle() {
  if (!late_ || late_->empty()) return;
  const LateSteps::Results results = late_->Take();
  for (const LossSums& sums : results.sums) Report(sums);
  if (results.failed) ThrowLate(results);
  if (results.failure) std::rethrow_exception(results.failure);
}

// The device has left all as it was; the batch is fetched again to say what is wrong with it.
void Trainer::ThrowLate(const LateSteps::Results& results) {
  clock_ = results.failed->clock;
  ledger_.GoOnFrom(results.failed->position);
  updater_.set_updates(results.failed->updates);
  source_.Seek(results.failed->position);
  const Batch& batch = source_.Next();
  StepShare share;
  CheckFinite(results.failed_sums, batch, &share);
  if (results.failure) std::rethrow_exception(results.failure);
  throw FormatError("nothing counts in the loss " + WhereIn(batch) + "; check the labels");
}

// Lanes look at their gradients themselves, and so does loss scaling. One rank is told by the next
// loss: there is nobody to choose from, and looking would cost it more.
bool Trainer::ChecksSums() const {
  return network_.lanes() == nullptr && network_.group().size() > 1 &&
         network_.variables().loss_scale() == nullptr;
}

// The sums have taken the place of what this rank added to them, so it is computed again.
void Trainer::ThrowBadGradient(const Batch& batch) {
  const std::string where = WhereIn(batch);
  std::exception_ptr failure;
  try {
    Compute(batch, nullptr, nullptr);
    const std::string name = BadGradient(network_);
    if (!name.empty()) throw FormatError(BadGradientText(name, where));
  } catch (const Error&) {
    failure = std::current_exception();
  }
  AgreeOnFailure(network_.group(), failure);
  throw AgreedError(ExitCode::kBadData, "the sums of gradients are not finite " + where +
                                            ": training diverged; lower the learning rate");
}

AgreedStep Trainer::Agree(StepShare mine) {
  if (meter_) mine.times = meter_->EnterExchange();
  const bool whole = network_.lanes() != nullptr;
  AgreedStep step = ExchangeShares(network_.group(), mine, whole);
  if (!meter_) return step;
  std::vector<TimeShare> times;
  for (const StepShare& share : step.shares) times.push_back(share.times);
  meter_->LeaveExchange(times);
  return step;
}

void Trainer::Invoke(Extension& extension) {
  const double begin = meter_ ? meter_->Now() : 0.0;
  if (extension.looks_at_results()) Settle();
  extension.Invoke(*this);
  if (meter_) meter_->AddSpan(extension.name(), begin);
}

StepMeter& Trainer::Measure(MeterOptions options) {
  meter_ = std::make_unique<StepMeter>(network_.group(), sync_, std::move(options));
  return *meter_;
}

void Trainer::Report(const LossSums& sums) {
  last_sums_ = sums;
  if (sums.count > 0) interval_.loss += sums.loss / static_cast<double>(sums.count);
  if (sums.metric_count > 0) {
    interval_.metric += sums.metric / static_cast<double>(sums.metric_count);
  }
  ++interval_.batches;
}

// One rank that was asked is enough, and all stop behind the same step.
bool Trainer::AskToStop() {
  Enter(StepPart::kStart);
  const bool asked = options_.should_stop && options_.should_stop();
  return stopped_ = AnyRank(network_.group(), asked);
}

void Trainer::RequireSameOnAllRanks() {
  RankGroup& group = network_.group();
  if (group.size() > 1) RequireEqual(group, StartFacts(*this, schedule_));
  compared_ = true;
}

void Trainer::Prepare() {
  sync_.Prepare(network_.variables());
  if (network_.lanes() != nullptr) {
    network_.Prepare(Mode::kTrain, {{std::min(source_.batch_size(), source_.size())}});
  } else {
    network_.Prepare(Mode::kTrain, {{source_.max_rows(), source_.tail_rows()}});
  }
}

void Trainer::Run() {
  stopped_ = false;
  if (!compared_) RequireSameOnAllRanks();
  // Choosing algorithms can take seconds: who asks to stop meanwhile need not wait for a step, too.
  if (!Done() && !AskToStop()) Prepare();
  while (!Done() && !AskToStop()) Step();
  Settle();
  if (SyncState* const state = sync_.state()) state->Collect(network_.variables());
  CheckWeights("when training ended " + Where());
  for (const auto& extension : extensions_) extension->Finish(*this);
}

IntervalMeans Trainer::TakeInterval() {
  const IntervalMeans means = interval();
  interval_ = {};
  return means;
}

const LossSums& Trainer::last_sums() {
  Settle();
  return last_sums_;
}

IntervalMeans Trainer::interval() {
  Settle();
  IntervalMeans means = interval_;
  if (means.batches > 0) {
    means.loss /= static_cast<double>(means.batches);
    means.metric /= static_cast<double>(means.batches);
  }
  return means;
}

CheckpointContents Trainer::State() {
  Settle();
  RequireWholeSteps();
  CheckWeights("nothing is saved " + Where());
  CheckpointContents contents;
  SaveVariables(network_.variables(), &contents);
  SaveUpdater(updater_, network_.variables(), &contents);
  SaveLanes(network_.lanes(), &contents);
  if (const SyncState* const state = sync_.state()) state->Save(&contents);
  SaveComputeDType(network_.options(), &contents);
  SaveFingerprint(source_, &contents);
  auto& values = contents.values;
  values["graph/hash"] = std::to_string(network_.graph().Hash());
  values["network/seed"] = static_cast<int64_t>(network_.options().seed);
  values["network/algorithms"] = network_.algorithms().UsedToString();
  values["data/size"] = source_.size();
  values["data/batch_size"] = source_.batch_size();
  values["data/epoch"] = source_.position().epoch;
  values["data/offset"] = source_.position().offset;
  values["trainer/iteration"] = clock_.iteration;
  values["trainer/epoch"] = clock_.epoch;
  values["trainer/interval_loss"] = interval_.loss;
  values["trainer/interval_metric"] = interval_.metric;
  values["trainer/interval_batches"] = interval_.batches;
  ledger_.Save(&contents);
  for (const auto& [name, value] : observation_) values["observation/" + name] = value;
  for (const auto& extension : extensions_) extension->Save(&contents);
  return contents;
}

void Trainer::Restore(const CheckpointContents& contents) {
  RequireSame(contents, "data/size", source_.size(), "samples in the training data");
  RequireSame(contents, "data/batch_size", source_.batch_size(), "samples in a batch");
  RequireSame(contents, "network/seed", static_cast<int64_t>(network_.options().seed), "--seed");
  CheckComputeDType(contents, network_.options());
  CheckVariables(contents, network_.variables());
  if (contents.Text("graph/hash") != std::to_string(network_.graph().Hash())) {
    throw ShapeError("the checkpoint is of another network: same arrays, other operations");
  }
  CheckUpdater(contents, network_.variables(), updater_);
  CheckLanes(contents, network_.lanes());
  if (const SyncState* const state = sync_.state()) state->Check(contents, network_.variables());
  CheckFingerprint(contents, source_);
  const std::string& algorithms = contents.Text("network/algorithms");
  const SourcePosition position{IntegerIn(contents, "data/epoch", kMostSteps),
                                IntegerIn(contents, "data/offset", source_.size())};
  const TrainingClock clock{.iteration = IntegerIn(contents, "trainer/iteration", kMostSteps),
                            .epoch = IntegerIn(contents, "trainer/epoch", kMostSteps)};
  const IntervalMeans interval{
      .loss = FiniteReal(contents, "trainer/interval_loss"),
      .metric = FiniteReal(contents, "trainer/interval_metric"),
      .batches = IntegerIn(contents, "trainer/interval_batches", kMostSteps)};
  std::map<std::string, double> observation = Observation(contents);
  EpochLedger ledger = EpochLedger::Restored(contents, position);

  source_.Seek(position);  // the last that can refuse
  if (late_ && !late_->empty()) late_->Take();
  RestoreVariables(contents, &network_.variables());
  RestoreUpdater(contents, network_.variables(), &updater_);
  updater_.SetWhole();
  RestoreLanes(contents, network_.lanes());
  if (SyncState* const state = sync_.state()) state->Restore(contents, network_.variables());
  network_.algorithms().ParseUsed(algorithms);
  clock_ = clock;
  interval_ = interval;
  ledger_ = ledger;
  observation_ = std::move(observation);
  compared_ = false;
  for (const auto& extension : extensions_) extension->Restore(contents);
}

std::optional<LossSums> EvaluateAll(Network& network, BatchSource& source,
                                    const std::function<bool()>& should_stop) {
  network.RequireFits(source);
  // Of lanes nothing is timed.
  if (!network.lanes()) network.Prepare(Mode::kEvaluate, {{source.max_rows(), source.tail_rows()}});
  const bool late = !network.backend().shares_host_memory() && network.lanes() == nullptr;
  if (late) network.TakeEvaluated();  // what an evaluation that was broken off has left
  LossSums mine;
  source.Seek({source.position().epoch, 0});
  for (bool last = false; !last;) {
    if (AnyRank(network.group(), should_stop && should_stop())) return std::nullopt;
    const Batch& batch = source.Next();
    last = batch.last_of_epoch;
    if (late) {
      network.EvaluateLate(batch);
    } else {
      mine += network.Evaluate(batch);
    }
  }
  if (late) mine = network.TakeEvaluated();
  if (network.lanes() != nullptr) return mine;  // which is the whole job's
  LossSums total;
  for (const LossSums& sums : GatherValues(network.group(), mine)) total += sums;
  return total;
}

}  // namespace lockstep
