#include "tools/train_job.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/text.h"
#include "engine/train/publish.h"
#include "engine/train/rank_check.h"
#include "engine/train/rank_facts.h"
#include "engine/train/seconds.h"
#include "kernels/error.h"
#include "models/model_directory.h"
#include "models/model_file.h"
#include "models/name_match.h"
#include "tools/allocation.h"
#include "tools/checkpoints.h"
#include "tools/device.h"
#include "tools/early_stopping.h"
#include "tools/failure.h"
#include "tools/file_roles.h"
#include "tools/job_data.h"
#include "tools/launch.h"
#include "tools/precision.h"
#include "tools/program_hash.h"
#include "tools/progress_bar.h"
#include "tools/recipe.h"
#include "tools/step_report.h"
#include "tools/text.h"
#include "tools/train_extensions.h"

namespace lockstep::tools {
namespace {

using Clock = std::chrono::steady_clock;

std::string Format(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

}  // namespace

class TrainJob::Impl {
 public:
  Impl(TrainOptions options, JobRanks* ranks, Console* console, StopSignals* signals)
      : o_(std::move(options)),
        ranks_(*ranks),
        console_(console),
        signals_(signals),
        checkpoint_dir_here_(o_.checkpoint_dir) {
    if (ranks_.is_first()) return;
    o_.output_data_dir = o_.checkpoint_dir = "";
    o_.snapshot_every = 0;
  }

  ~Impl() { ranks_.LetGoOfDevice(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void Run() {
    {
      const StopSignals::NothingToSave nothing(*signals_);
      const Doing doing("data and network");
      ranks_.Together([&] {
        PrepareDirectories();
        OpenBackend();
      });
      data_.emplace(o_, ranks_, *backend_,
                    [this](const std::string& line) { Say("warning: " + line); });
      ranks_.Together([&] {
        MakeModel();
        frozen_ = Frozen();
      });
      any_store_ = AnyRank(ranks_.group(), store_.has_value());
      RequireEqual(ranks_.group(), Facts());
      const std::string note = ranks_.UseDevice(*backend_);
      if (!note.empty()) o_.notes.push_back(note);
      BuildNetwork();
      ranks_.Together([&] { MakeTrainer(); });
      MeasureSteps();
      ranks_.Together([&] { AddReports(); });
      Resume();
      trainer_->RequireSameOnAllRanks();
    }
    const Doing doing("training");
    PrintHead();
    ranks_.Together([&] { WriteGraph(); });
    CompleteLog();
    RunTrainer();
    // Start values are no model.
    if (trainer_->clock().iteration == 0) {
      throw AgreedError(ExitCode::kNotSaved, StopSignals::kNothingToSave);
    }
    ranks_.LetFirstFinish();
    SayLossScale();
    SaveOnFirst();
    if (trainer_->stopped()) SayHowItStopped();
  }
  bool saved() const { return saved_; }

 private:
  std::function<bool()> ShouldStop() const {
    return [signals = signals_] { return signals->requested(); };
  }
  // The same for the loop between steps, noting when it heard of it.
  std::function<bool()> ShouldStopLoop() {
    return [this] {
      if (signals_->requested() && !heard_) heard_ = Clock::now();
      return heard_.has_value() || EndsEarly();
    };
  }
  bool EndsEarly() const { return early_ != nullptr && early_->wants_to_stop(); }
  void Say(const std::string& line) const { console_->Write(line + "\n"); }

  // Before anything that takes time: a job must not find out at its end.
  void PrepareDirectories() {
    if (!ranks_.is_first()) return;
    CheckTrainingFiles(o_);
    if (o_.checkpoint_dir.empty()) return;
    store_.emplace(o_.checkpoint_dir,
                   CheckpointStore::Options{
                       .keep = static_cast<int>(o_.keep_checkpoints),
                       .warn = [this](const std::string& line) { Say("warning: " + line); }});
  }

  void OpenBackend() {
    OpenedDevice device = OpenDevice(
        {.device = o_.device, .allowed_gpus = o_.allowed_gpus, .allow_tf32 = o_.allow_tf32},
        static_cast<int>(o_.threads));
    backend_ = std::move(device.backend);
    if (!device.note.empty()) o_.notes.push_back(device.note);
  }

  void MakeModel() {
    model_ = BuildModel({.name = o_.model,
                         .in_shape = data_->train().sample_type().shape,
                         .classes = o_.classes,
                         .width = o_.width,
                         .hidden = o_.hidden});
    if (model_.classifier) {
      data_->CheckLabels(static_cast<int32_t>(o_.classes));
    }
  }

  Recipe JobRecipe() const {
    Recipe recipe = RecipeOf(o_, model_.spec);
    recipe.emplace_back("data", data_->Split());
    return recipe;
  }

  // What must be the same on all ranks for them to train one model.
  RankFacts Facts() const {
    if (ranks_.size() == 1) return {};
    RankFacts facts{{"the program", ProgramHash()}};
    const std::string device = backend_->name();
    facts.emplace_back("the kind of device", device.substr(0, device.find(':')));
    for (RankFacts data = data_->Facts(); const auto& fact : data) facts.push_back(fact);
    if (o_.reproducible) facts.emplace_back("the processor", backend_->fingerprint());
    for (const auto& [option, value] : JobRecipe()) facts.emplace_back("--" + option, value);
    facts.emplace_back("--accumulate", std::to_string(o_.accumulate));
    facts.emplace_back("--iterations", std::to_string(o_.iterations));
    facts.emplace_back("--check-every", std::to_string(o_.check_every));
    facts.emplace_back("--checkpoint-every", o_.checkpoint_every);
    facts.emplace_back("--resume", !o_.resume ? "not given" : *o_.resume ? "True" : "False");
    facts.emplace_back("--early-stopping", std::to_string(o_.early_stopping));
    facts.emplace_back("--monitor", o_.monitor);
    facts.emplace_back("--monitor-mode", o_.monitor_mode);
    facts.emplace_back("--trace", o_.trace);
    facts.emplace_back("--trace-steps", o_.trace_steps);
    facts.emplace_back("--bucket-bytes", std::to_string(o_.bucket_bytes));
    facts.emplace_back("--sync-batch-norm", o_.sync_batch_norm ? "True" : "False");
    facts.emplace_back("--average-statistics", o_.average_statistics ? "True" : "False");
    return facts;
  }

  void BuildNetwork() {
    network_ = std::make_unique<Network>(
        *model_.graph, *backend_,
        NetworkOptions{.dtype = DTypeOf(o_),
                       .compute_dtype = ComputeDTypeOf(o_.dtype),
                       .seed = o_.seed,
                       .frozen = frozen_,
                       .lanes = o_.reproducible ? o_.lanes : 0,
                       .lane_norm = LaneNormOf(o_),
                       .accumulate = o_.accumulate,
                       .exact_math = o_.exact_math,
                       .group = &ranks_.group(),
                       .norm_over_ranks = o_.sync_batch_norm,
                       .lane_bucket_bytes = static_cast<size_t>(o_.bucket_bytes),
                       .algorithm_file = o_.algorithm_file,
                       .should_hurry = ShouldStop()});
  }

  void StartWeights() {
    if (!o_.init_from.empty()) {
      const LoadNpzReport report =
          LoadModelNpz(o_.init_from, network_->variables(), {.strict = o_.strict_init});
      Say("# start from " + o_.init_from + ": " + Counted(std::ssize(report.loaded), "array") +
          " loaded, " + std::to_string(report.missing.size()) + " missing, " +
          std::to_string(report.extra) + " not used");
    }
  }

  void MakeUpdater() {
    updater_ = std::make_unique<Updater>(
        network_->variables(), *backend_, MakeOptimizer(o_),
        UpdateHooks{.weight_decay = o_.optimizer == "adamw" ? 0.0 : o_.weight_decay,
                    .gradient_clipping = o_.gradient_clipping});
    schedule_ = MakeSchedule(o_);
  }

  std::set<std::string> Frozen() const {
    std::set<std::string> frozen;
    std::vector<std::string> names;
    for (const Graph::Value& value : model_.graph->values()) {
      if (value.role == Role::kParameter) names.push_back(value.name);
    }
    for (const std::string& glob : o_.freeze) {
      bool any = false;
      for (const std::string& name : names) {
        if (!MatchesAny({glob}, name)) continue;
        frozen.insert(name);
        any = true;
      }
      if (!any) {
        throw ConfigError("--freeze " + Quote(glob) + " matches no parameter of the network; it " +
                          "has " + OneLine(Join(names, ", "), 200));
      }
    }
    return frozen;
  }

  void MakeTrainer() {
    StartWeights();
    MakeUpdater();
    trainer_ =
        std::make_unique<Trainer>(*network_, data_->train(), *updater_, *schedule_, ranks_.sync(),
                                  TrainerOptions{.epochs = o_.epochs,
                                                 .iterations = o_.iterations,
                                                 .learning_rate = o_.learning_rate,
                                                 .should_stop = ShouldStopLoop()});
    if (ranks_.size() > 1 && o_.check_every > 0) {
      trainer_->Extend(std::make_unique<RankCheck>(o_.check_every));
    }
    if (data_->test() != nullptr) {
      evaluation_ = Extend(MakeEvaluation(data_->test(), model_.classifier, ShouldStop()));
    }
  }

  // All ranks compare their clocks in it.
  void MeasureSteps() {
    ReportSteps(
        *trainer_, {.trace = o_.trace, .trace_steps = o_.trace_steps},
        [this](const std::string& line) { Say(line); }, &failure_);
  }

  void AddReports() {
    report_ = Extend(MakeReport(console_, &log_, o_.output_data_dir, model_.classifier,
                                o_.double_buffering ? 1 : 0));
    if (o_.early_stopping > 0) {
      auto early = std::make_unique<EarlyStopping>(
          EarlyStoppingOptions{
              .monitor = o_.monitor, .mode = o_.monitor_mode, .patience = o_.early_stopping},
          &log_);
      early_ = early.get();
      trainer_->Extend(std::move(early));
    }
    if (any_store_) {
      auto checkpoints = std::make_unique<Checkpoints>(
          store_ ? &*store_ : nullptr, ParseCheckpointInterval(o_.checkpoint_every), JobRecipe());
      checkpoints_ = checkpoints.get();
      trainer_->Extend(std::move(checkpoints));
    }
    if (o_.snapshot_every != 0) {
      trainer_->Extend(MakeSnapshots(o_, &log_, console_, &failure_));
    }
    trainer_->Extend(MakeProgress(console_, SampleUnit(data_->train().sample_type().shape)));
  }

  void WriteGraph() const {
    if (o_.output_data_dir.empty()) return;
    Publish(o_.output_data_dir + "/" + kGraphFile, model_.graph->ToDot());
    if (trainer_->clock().iteration > 0) return;
    // What an earlier job has left would pass for this one's until its first epoch ends.
    for (const std::string& name : ResultFiles(model_.classifier)) {
      ::unlink((o_.output_data_dir + "/" + name).c_str());
    }
  }

  Extension* Extend(std::unique_ptr<Extension> extension) {
    Extension* const kept = extension.get();
    trainer_->Extend(std::move(extension));
    return kept;
  }

  std::optional<LoadedCheckpoint> LoadNewest() {
    if (!store_ || o_.resume == false) return std::nullopt;
    std::optional<LoadedCheckpoint> newest = store_->LoadNewest();
    if (newest || o_.resume != true) return newest;
    throw IoError(o_.checkpoint_dir +
                      " holds no checkpoint to resume from; leave --resume out or choose another "
                      "--checkpoint-dir",
                  ExitCode::kNoInput);
  }

  void Resume() {
    if (any_store_ && o_.resume != false) RequireNoneNewer(ranks_, checkpoint_dir_here_);
    std::optional<LoadedCheckpoint> newest;
    ranks_.Together([&] { newest = LoadNewest(); });
    newest = ranks_.FromFirst(std::move(newest));
    if (!newest) return;
    std::string warning;
    ranks_.Together([&] {
      warning = RequireSameRecipe(JobRecipe(), newest->contents, newest->path);
      trainer_->Restore(newest->contents);
    });
    if (!warning.empty()) Say("warning: " + warning);
    Say("# resumed from " + newest->path + " at iteration " +
        std::to_string(trainer_->clock().iteration));
  }

  // A stop in the middle of an evaluation leaves a log entry without its values. Until the next
  // step the weights are those that it is about.
  void CompleteLog() {
    if (evaluation_ == nullptr || log_.empty() || log_.back().Find("validation/main/loss")) return;
    const LogValue* iteration = log_.back().Find("iteration");
    if (!iteration || *iteration != LogValue(trainer_->clock().iteration)) return;
    evaluation_->Invoke(*trainer_);
    report_->Invoke(*trainer_);
    if (early_ != nullptr) early_->ReadLog();
  }

  void PrintHead() const {
    if (!o_.unknown.empty()) Say("# options not known here: " + Join(o_.unknown, ", "));
    for (const std::string& note : o_.notes) Say("# " + note);
    if (!any_store_) Say("# no --checkpoint-dir: what is stopped cannot be resumed");
    Say("# model: " + o_.model + ", " + Counted(Parameters(), "parameter"));
    for (const std::string& line : data_->Description(o_)) Say("# " + line);
    Say("# Minibatch-size: " + std::to_string(o_.batch_size));
    if (o_.accumulate > 1) {
      Say("# accumulate: each process runs its samples of a step in " +
          std::to_string(o_.accumulate) + " parts");
    }
    Say("# epoch: " + std::to_string(o_.epochs));
    Say("# learning rate: " + FormatG(o_.learning_rate) + " (" + schedule_->ToString() + ")");
    Say("# optimizer: " + updater_->optimizer().ToString());
    if (o_.weight_decay != 0.0) Say("# weight decay: " + FormatG(o_.weight_decay));
    Say("# seed: " + std::to_string(o_.seed));
    if (trainer_->Done()) {
      Say("# nothing to train: the checkpoint is at epoch " +
          std::to_string(trainer_->clock().epoch) + ", iteration " +
          std::to_string(trainer_->clock().iteration));
    }
    Say("# device: " + backend_->fingerprint() + ", " + Counted(backend_->threads(), "thread") +
        (ranks_.size() > 1 ? " in each process" : ""));
    if (o_.double_buffering) Say("# double buffering: gradients are used one step late");
    if (ranks_.size() == 1) return;
    if (o_.wire != kWireAsIs) {
      Say("# gradients travel as " + o_.wire + (o_.error_feedback ? ", with" : ", without") +
          " error feedback");
    }
    Say("# processes: " + std::to_string(ranks_.size()) + ", exchanging gradients by " +
        ranks_.name());
  }

  void SayLossScale() const {
    if (network_->variables().loss_scale() == nullptr) return;
    const LossScale scale = network_->variables().GetLossScale();
    Say("loss scale " + FormatG(scale.scale) + ", " + Counted(scale.overflows, "step") +
        " left out where gradients overflowed");
  }

  int64_t Parameters() const {
    int64_t count = 0;
    for (const auto& entry : network_->variables().entries()) {
      if (entry.role == Role::kParameter) count += entry.type.shape.size();
    }
    return count;
  }

  InputTransform Input() const {
    const bool bytes = data_->train().dataset().features().dtype() == DType::kUint8;
    return {.scale = bytes ? o_.transform.scale : 1.0,
            .mean = o_.mean,
            .stddev = o_.stddev,
            .padding = o_.transform.padding,
            .crop = o_.transform.crop};
  }

  // Files that could not be written on the way cost nothing that still can be saved.
  void RunTrainer() {
    try {
      trainer_->Run();
    } catch (const IoError&) {
      if (trainer_->clock().iteration == 0) throw;
      failure_.Try([] { throw; });
      // Weights that are no numbers are no model, and no state.
      if (!failure_.Try([this] { trainer_->State(); }).empty()) failure_.Throw();
      if (ranks_.is_first()) SaveAll();
      throw;
    }
  }

  // What matters most comes first, and what fails holds up nothing behind it.
  void SaveAll() {
    std::string failed;
    if (store_) failed = failure_.Try([&] { checkpoints_->SaveLast(*trainer_); });
    failed += failure_.Try([&] { SaveModel(); });
    saved_ = failed.empty();
    if (!o_.output_data_dir.empty()) {
      failure_.Try([&] { WriteResults(log_, o_.output_data_dir, o_.model, model_.classifier); });
    }
    failure_.Throw();
  }

  // mpirun that has been told to stop kills all as soon as one process is gone: who has nothing to
  // save waits for the one who has, and notices should that one be lost.
  void SaveOnFirst() {
    std::exception_ptr failure;
    try {
      if (ranks_.is_first()) SaveAll();
    } catch (...) {
      failure = std::current_exception();
    }
    ranks_.FirstHasFinished();
    const bool failed = AnyRank(ranks_.group(), failure != nullptr);
    ranks_.Leave();  // the first one last
    if (failure) std::rethrow_exception(failure);
    if (!failed) signals_->EndGrace();
    if (ranks_.is_first()) return;
    Say(failed ? "rank 0 could not save everything" : "rank 0 has saved the model");
  }

  void SaveModel() {
    const Doing doing("saving the model");
    const auto start = Clock::now();
    ModelCard card{.spec = model_.spec,
                   .input = Input(),
                   .dtype = std::string(Name(DTypeOf(o_))),
                   .mode = o_.reproducible ? "reproducible" : "fast",
                   .lanes = o_.reproducible ? o_.lanes : 0,
                   .compute_dtype = ComputeDTypeOf(o_.dtype) ? o_.dtype : "",
                   .wire = ranks_.size() > 1 ? o_.wire : kWireAsIs,
                   .gradient_delay = o_.double_buffering ? 1 : 0,
                   .seed = o_.seed,
                   .iterations = trainer_->clock().iteration};
    SaveModelDirectory(o_.model_dir, std::move(card), network_->variables());
    Say("model saved to " + o_.model_dir + Format(" in %.2f s", SecondsSince(start)) +
        ", weights sha256 " + WeightsHash(network_->variables()));
  }

  void SayHowItStopped() const {
    const auto stop = signals_->stop();
    if (EndsEarly()) return Say("stopped early: " + early_->Reason());
    if (!stop || !heard_) {
      return Say(std::string(kStoppedBy) + "a signal to another process at iteration " +
                 std::to_string(trainer_->clock().iteration) + "; everything was saved");
    }
    const std::string signal = SignalName(stop->signal);
    Say(std::string(kStoppedBy) +
        (stop->signal == SIGUSR1 && ranks_.size() > 1 ? "mpirun, which passed on " + signal
                                                      : signal) +
        " at iteration " + std::to_string(trainer_->clock().iteration) +
        Format(", %.2f s after it", std::chrono::duration<double>(*heard_ - stop->when).count()) +
        Format(any_store_ ? "; everything was saved %.2f s after it"
                          : "; the model was saved %.2f s after it",
               SecondsSince(stop->when)) +
        (any_store_ ? "" : "; without --checkpoint-dir the job cannot be resumed"));
  }

  TrainOptions o_;
  JobRanks& ranks_;
  Console* console_;
  StopSignals* signals_;
  const std::string checkpoint_dir_here_;   // this process's, though the first alone writes
  std::optional<Clock::time_point> heard_;  // when training stopped for a signal
  std::optional<CheckpointStore> store_;
  bool any_store_ = false;  // whether the first rank has one
  std::optional<JobData> data_;
  std::unique_ptr<Backend> backend_;
  Model model_;
  std::set<std::string> frozen_;
  std::unique_ptr<Network> network_;
  std::unique_ptr<Updater> updater_;
  std::unique_ptr<Schedule> schedule_;
  std::vector<LogEntry> log_;
  std::unique_ptr<Trainer> trainer_;
  Extension* evaluation_ = nullptr;     // the trainer's; null without validation data
  Extension* report_ = nullptr;         // the trainer's
  EarlyStopping* early_ = nullptr;      // the trainer's; null where it is not asked for
  Checkpoints* checkpoints_ = nullptr;  // the trainer's; null without a store
  FirstFailure failure_;                // the job ends with it, when all is saved that can be
  bool saved_ = false;
};

TrainJob::TrainJob(TrainOptions options, JobRanks& ranks, Console* console, StopSignals* signals)
    : impl_(std::make_unique<Impl>(std::move(options), &ranks, console, signals)) {}

TrainJob::~TrainJob() = default;

void TrainJob::Run() { impl_->Run(); }

bool TrainJob::saved() const { return impl_->saved(); }

}  // namespace lockstep::tools
