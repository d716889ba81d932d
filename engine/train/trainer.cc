#include "engine/train/trainer.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/text.h"
#include "engine/train/state.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

// The first row of the batch with a value that is not finite, or -1.
int64_t FirstBadRow(Backend& backend, const void* data, const TensorType& type, int64_t rows) {
  if (!IsFloating(type.dtype)) return -1;
  const int64_t row = type.shape.size();
  const int64_t bad = backend.reduce().FirstNonFinite(type.dtype, rows * row, data);
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

void Trainer::CheckWeights(const std::string& where) const {
  for (const Variables::Entry& entry : network_.variables().entries()) {
    if (!IsFloating(entry.type.dtype)) continue;
    if (network_.backend().reduce().FirstNonFinite(entry.type.dtype, entry.type.shape.size(),
                                                   entry.data) >= 0) {
      throw FormatError(where + ": " + entry.name +
                        " is not finite: training diverged; lower the learning rate");
    }
  }
}

void Trainer::CheckFinite(const LossSums& sums, const Batch& batch) const {
  if (std::isfinite(sums.loss)) return;
  Backend& backend = network_.backend();
  int64_t row = FirstBadRow(backend, batch.x, source_.sample_type(), batch.rows);
  if (row < 0) row = FirstBadRow(backend, batch.labels, source_.label_type(), batch.rows);
  const std::string where = "the loss is " + Text(sums.loss) + " at iteration " +
                            std::to_string(clock_.iteration + 1) + ", epoch " +
                            std::to_string(batch.epoch + 1);
  if (row >= 0) {
    throw FormatError(where + ": " + source_.Describe(batch.ids[static_cast<size_t>(row)]) +
                      " holds a value that is not finite; remove or repair it");
  }
  CheckWeights(where + "; the data is finite");
  throw FormatError(where +
                    " though data and weights are finite: training diverged; lower the "
                    "learning rate");
}

LossSums Trainer::Compute(const Batch& batch) {
  if (!AllIgnored(batch, source_.label_type())) return network_.Train(batch);
  // The others of a group add these gradients to theirs.
  const Variables& variables = network_.variables();
  std::memset(variables.gradients(), 0,
              static_cast<size_t>(variables.flat_size()) * SizeOf(variables.dtype()));
  return {};
}

void Trainer::Step() {
  const double rate = learning_rate();
  const Batch& batch = source_.Next();
  LossSums sums = Compute(batch);
  CheckFinite(sums, batch);
  sync_.Reduce(network_.variables(), &sums);
  updater_.Update(sums.count, rate);

  last_sums_ = sums;
  if (sums.count > 0) interval_.loss += sums.loss / static_cast<double>(sums.count);
  if (sums.metric_count > 0) {
    interval_.metric += sums.metric / static_cast<double>(sums.metric_count);
  }
  ++interval_.batches;
  ++clock_.iteration;
  clock_.epoch_ended = batch.last_of_epoch;
  if (batch.last_of_epoch) ++clock_.epoch;
  for (const auto& extension : extensions_) {
    if (extension->trigger().Fires(clock_)) extension->Invoke(*this);
  }
}

void Trainer::Run() {
  stopped_ = false;
  const auto stop = [this] { return stopped_ = options_.should_stop && options_.should_stop(); };
  // Choosing algorithms can take seconds: who asks to stop meanwhile need not wait for a step, too.
  if (!Done() && !stop()) {
    network_.Prepare(source_.max_rows());
  }
  while (!Done() && !stop()) Step();
  CheckWeights("when training ended " + Where());
  for (const auto& extension : extensions_) extension->Finish(*this);
}

IntervalMeans Trainer::TakeInterval() {
  IntervalMeans means = interval_;
  interval_ = {};
  if (means.batches > 0) {
    means.loss /= static_cast<double>(means.batches);
    means.metric /= static_cast<double>(means.batches);
  }
  return means;
}

CheckpointContents Trainer::State() const {
  CheckWeights("nothing is saved " + Where());
  CheckpointContents contents;
  SaveVariables(network_.variables(), &contents);
  SaveUpdater(updater_, network_.variables(), &contents);
  SaveLanes(network_.lanes(), &contents);
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
  for (const auto& [name, value] : observation_) values["observation/" + name] = value;
  for (const auto& extension : extensions_) extension->Save(&contents);
  return contents;
}

void Trainer::Restore(const CheckpointContents& contents) {
  RequireSame(contents, "data/size", source_.size(), "samples in the training data");
  RequireSame(contents, "data/batch_size", source_.batch_size(), "samples in a batch");
  RequireSame(contents, "network/seed", static_cast<int64_t>(network_.options().seed), "--seed");
  CheckVariables(contents, network_.variables());
  if (contents.Text("graph/hash") != std::to_string(network_.graph().Hash())) {
    throw ShapeError("the checkpoint is of another network: same arrays, other operations");
  }
  CheckUpdater(contents, network_.variables(), updater_);
  CheckLanes(contents, network_.lanes());
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

  source_.Seek(position);  // the last that can refuse
  RestoreVariables(contents, &network_.variables());
  RestoreUpdater(contents, network_.variables(), &updater_);
  RestoreLanes(contents, network_.lanes());
  network_.algorithms().ParseUsed(algorithms);
  clock_ = clock;
  interval_ = interval;
  observation_ = std::move(observation);
  for (const auto& extension : extensions_) extension->Restore(contents);
}

std::optional<LossSums> EvaluateAll(Network& network, BatchSource& source,
                                    const std::function<bool()>& should_stop) {
  network.RequireFits(source);
  LossSums total;
  source.Seek({source.position().epoch, 0});
  for (bool last = false; !last;) {
    if (should_stop && should_stop()) return std::nullopt;
    const Batch& batch = source.Next();
    last = batch.last_of_epoch;
    if (batch.rows > 0) total += network.Evaluate(batch);
  }
  return total;
}

}  // namespace lockstep
