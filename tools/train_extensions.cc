#include "tools/train_extensions.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <optional>

#include "data/epoch_order.h"
#include "engine/train/publish.h"
#include "engine/train/seconds.h"
#include "kernels/error.h"
#include "models/chainer_snapshot.h"
#include "tools/log_report.h"
#include "tools/plot.h"
#include "tools/print_report.h"
#include "tools/progress_bar.h"
#include "tools/text.h"

namespace lockstep::tools {
namespace {

using Clock = std::chrono::steady_clock;

const char* MetricName(bool classifier) { return classifier ? "accuracy" : "rmse"; }

double Metric(double mean, bool classifier) { return classifier ? mean : std::sqrt(mean); }

void WarnAndGoOn(Console* console, const std::string& what) {
  console->Write("warning: " + what + "; training goes on\n");
}

class Evaluation : public Extension {
 public:
  Evaluation(BatchSource* test, bool classifier, std::function<bool()> should_stop)
      : test_(test), classifier_(classifier), should_stop_(std::move(should_stop)) {}
  std::string name() const override { return "evaluation"; }
  Trigger trigger() const override { return Trigger::Epochs(1); }

  void Invoke(Trainer& trainer) override {
    const std::optional<LossSums> sums = EvaluateAll(trainer.network(), *test_, should_stop_);
    if (!sums) return;
    auto& observation = trainer.observation();
    if (sums->count > 0) {
      observation["validation/main/loss"] = sums->loss / static_cast<double>(sums->count);
    }
    if (sums->metric_count > 0) {
      observation[std::string("validation/main/") + MetricName(classifier_)] =
          Metric(sums->metric / static_cast<double>(sums->metric_count), classifier_);
    }
  }

 private:
  BatchSource* test_;
  bool classifier_;
  std::function<bool()> should_stop_;
};

class Report : public Extension {
 public:
  Report(Console* console, std::vector<LogEntry>* log, const std::string& output_dir,
         bool classifier, int64_t gradient_delay)
      : console_(console),
        table_(console, Columns(classifier)),
        classifier_(classifier),
        gradient_delay_(gradient_delay),
        metric_(MetricName(classifier)),
        entries_(log),
        start_(Clock::now()) {
    if (!output_dir.empty()) log_.emplace(output_dir + "/log");
  }
  std::string name() const override { return "report"; }
  Trigger trigger() const override { return Trigger::Epochs(1); }

  void Invoke(Trainer& trainer) override {
    if (IsOf(trainer.clock())) {  // again, with what an interrupted evaluation left out
      if (trainer.observation().empty()) return;
      LogEntry entry = std::move(entries_->back());
      entries_->pop_back();
      if (log_) log_->Restore(*entries_);
      AddValidation(trainer, &entry);
      return Write(std::move(entry));
    }
    const IntervalMeans means = trainer.TakeInterval();
    LogEntry entry;
    entry.Add("main/loss", means.loss);
    entry.Add("main/" + metric_, Metric(means.metric, classifier_));
    entry.Add("lr", trainer.learning_rate());
    if (gradient_delay_ > 0) entry.Add("gradient_delay", gradient_delay_);
    entry.Add("epoch", trainer.clock().epoch);
    entry.Add("iteration", trainer.clock().iteration);
    entry.Add("elapsed_time", Elapsed());
    if (const auto& ledger = trainer.epoch_ledger();
        ledger && trainer.network().group().size() > 1) {
      entry.Add("ledger", ledger->ToString());
    }
    AddTimes(trainer, &entry);
    AddValidation(trainer, &entry);
    Write(std::move(entry));
  }

  // An epoch that has not ended has no row and no entry, but its numbers are worth a line.
  void Finish(Trainer& trainer) override {
    const IntervalMeans means = trainer.interval();
    if (means.batches == 0) return;
    console_->Write("epoch " + std::to_string(trainer.clock().epoch + 1) +
                    " is not complete at iteration " + std::to_string(trainer.clock().iteration) +
                    ": main/loss " + FormatG(means.loss) + ", main/" + metric_ + " " +
                    FormatG(Metric(means.metric, classifier_)) + " so far\n");
  }

  void Save(CheckpointContents* contents) const override {
    contents->values["report/log"] = LogJson(*entries_);
    contents->values["report/elapsed"] = Elapsed();
  }
  void Restore(const CheckpointContents& contents) override {
    *entries_ = ParseLog(contents.Text("report/log"), "the checkpoint's log");
    before_ = contents.Real("report/elapsed");
    start_ = Clock::now();
    if (log_) log_->Restore(*entries_);
  }

 private:
  static std::vector<std::string> Columns(bool classifier) {
    if (classifier) return DefaultColumns();
    return {"epoch",       "main/loss", "validation/main/loss", "main/rmse", "validation/main/rmse",
            "elapsed_time"};
  }
  double Elapsed() const { return before_ + SecondsSince(start_); }
  // Whether the last entry is that of this iteration.
  bool IsOf(const TrainingClock& clock) const {
    const LogValue* last = entries_->empty() ? nullptr : entries_->back().Find("iteration");
    return last != nullptr && AsDouble(*last) == static_cast<double>(clock.iteration);
  }
  // Of the steps of several ranks (tools/step_report.h).
  static void AddTimes(Trainer& trainer, LogEntry* entry) {
    for (const auto& [key, value] : trainer.observation()) {
      if (key.starts_with("time/")) entry->Add(key, value);
    }
  }
  // Behind the two values of training, as Chainer orders them.
  void AddValidation(Trainer& trainer, LogEntry* entry) const {
    auto at = entry->values.begin() + std::min<ptrdiff_t>(2, std::ssize(entry->values));
    for (const std::string& key :
         {std::string("validation/main/loss"), "validation/main/" + metric_}) {
      const auto found = trainer.observation().find(key);
      if (found == trainer.observation().end()) continue;
      at = entry->values.emplace(at, key, found->second) + 1;
    }
    trainer.observation().clear();
  }
  void Write(LogEntry entry) {
    table_.Print(entry);
    entries_->push_back(entry);
    if (!log_) return;
    try {
      log_->Append(std::move(entry));
    } catch (const IoError& error) {  // WriteResults() tries again, when the model is saved
      WarnAndGoOn(console_, error.what());
    }
  }

  Console* console_;
  PrintReport table_;
  bool classifier_;
  int64_t gradient_delay_;
  std::string metric_;
  std::optional<LogReport> log_;
  std::vector<LogEntry>* entries_;
  Clock::time_point start_;
  double before_ = 0.0;  // seconds of the runs before this one
};

class ProgressReport : public Extension {
 public:
  ProgressReport(Console* console, std::string unit) : bar_(console, {.unit = std::move(unit)}) {}
  std::string name() const override { return "progress"; }
  Trigger trigger() const override { return Trigger::Iterations(1); }
  bool looks_at_results() const override { return false; }  // but when it prints

  void Invoke(Trainer& trainer) override {
    const TrainingClock& clock = trainer.clock();
    const SourcePosition position = trainer.source().position();
    const int64_t size = trainer.source().size();
    const int64_t epochs = trainer.options().epochs;
    Progress progress{.epoch = std::min(position.epoch + 1, epochs),
                      .epochs = epochs,
                      .iteration = clock.iteration,
                      .samples = position.epoch * size + position.offset,
                      .total_samples = epochs * size};
    if (bar_.IsDue()) {
      const LossSums& sums = trainer.last_sums();
      if (sums.count > 0) progress.loss = sums.loss / static_cast<double>(sums.count);
    }
    bar_.Update(progress);
  }
  void Finish(Trainer&) override { bar_.Finish(); }

 private:
  ProgressBar bar_;
};

class Snapshots : public Extension {
 public:
  Snapshots(const TrainOptions& options, const std::vector<LogEntry>* log, Console* console,
            FirstFailure* failure)
      : seed_(options.seed),
        shuffle_(options.shuffle),
        every_(options.snapshot_every < 0 ? options.epochs : options.snapshot_every),
        shift_epochs_(options.schedule == "exponential-shift" ? options.schedule_epochs : 0),
        directory_(SnapshotDirectory(options)),
        log_(log),
        console_(console),
        failure_(failure) {}
  std::string name() const override { return "snapshots"; }
  Trigger trigger() const override { return Trigger::Epochs(every_); }
  void Invoke(Trainer& trainer) override {
    const std::string failed = failure_->Try([&] { SaveSnapshot(trainer); });
    if (!failed.empty()) WarnAndGoOn(console_, failed);
  }

 private:
  void SaveSnapshot(Trainer& trainer) const {
    const TrainingClock& clock = trainer.clock();
    const int64_t size = trainer.source().size();
    const LogValue* elapsed = log_->empty() ? nullptr : log_->back().Find("elapsed_time");
    SaveChainerSnapshot(
        directory_ + "/" + kSnapshotPrefix + std::to_string(clock.iteration),
        trainer.network().variables(), trainer.updater(),
        {.iteration = clock.iteration,
         .epoch = clock.epoch,
         .position = trainer.source().position().offset,
         .batch_size = trainer.source().batch_size(),
         .order = Tensor::FromValues<int64_t>(Shape({size}), Order(clock.epoch, size)),
         .learning_rate = trainer.learning_rate(),
         .shifts = shift_epochs_ > 0 ? clock.epoch / shift_epochs_ : 0,
         .log = LogJson(*log_),
         .elapsed_seconds = elapsed == nullptr ? 0.0 : AsDouble(*elapsed)});
  }

  std::vector<int64_t> Order(int64_t epoch, int64_t size) const {
    if (shuffle_) return EpochOrder(seed_, epoch, size);
    std::vector<int64_t> order(static_cast<size_t>(size));
    std::iota(order.begin(), order.end(), 0);
    return order;
  }

  uint64_t seed_;
  bool shuffle_;
  int64_t every_;
  int64_t shift_epochs_;
  std::string directory_;
  const std::vector<LogEntry>* log_;
  Console* console_;
  FirstFailure* failure_;
};

}  // namespace

std::string SnapshotDirectory(const TrainOptions& options) {
  return options.output_data_dir.empty() ? options.model_dir : options.output_data_dir;
}

std::unique_ptr<Extension> MakeSnapshots(const TrainOptions& options,
                                         const std::vector<LogEntry>* log, Console* console,
                                         FirstFailure* failure) {
  return std::make_unique<Snapshots>(options, log, console, failure);
}

std::unique_ptr<Extension> MakeEvaluation(BatchSource* test, bool classifier,
                                          std::function<bool()> should_stop) {
  return std::make_unique<Evaluation>(test, classifier, std::move(should_stop));
}

std::unique_ptr<Extension> MakeReport(Console* console, std::vector<LogEntry>* log,
                                      const std::string& output_dir, bool classifier,
                                      int64_t gradient_delay) {
  return std::make_unique<Report>(console, log, output_dir, classifier, gradient_delay);
}

std::unique_ptr<Extension> MakeProgress(Console* console, std::string unit) {
  return std::make_unique<ProgressReport>(console, std::move(unit));
}

void WriteResults(const std::vector<LogEntry>& log, const std::string& directory,
                  const std::string& title, bool classifier) {
  if (log.empty()) return;
  Publish(directory + "/log", LogJson(log));
  Publish(directory + "/" + MetricName(classifier) + ".png",
          RenderLinePlot(classifier ? AccuracyPlot(log, title) : RmsePlot(log, title)));
  Publish(directory + "/loss.png", RenderLinePlot(LossPlot(log, title)));
}

std::vector<std::string> ResultFiles(bool classifier) {
  return {"log", std::string(MetricName(classifier)) + ".png", "loss.png"};
}

}  // namespace lockstep::tools
