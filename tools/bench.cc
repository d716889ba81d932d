// `lockstep bench`, and of it `train`: what a training step costs, and where.
#include "tools/bench.h"

#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <numeric>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "comm/world.h"
#include "data/batch_iterator.h"
#include "data/channel.h"
#include "data/synthetic.h"
#include "engine/text.h"
#include "engine/train/publish.h"
#include "engine/train/rank_group.h"
#include "engine/train/trainer.h"
#include "kernels/error.h"
#include "models/model.h"
#include "tools/algorithm_file.h"
#include "tools/console.h"
#include "tools/device.h"
#include "tools/failure.h"
#include "tools/job_ranks.h"
#include "tools/limits.h"
#include "tools/options.h"
#include "tools/peak.h"
#include "tools/precision.h"
#include "tools/progress_bar.h"
#include "tools/rank_failure.h"
#include "tools/signals.h"
#include "tools/step_report.h"
#include "tools/text.h"
#include "tools/verbs.h"

namespace lockstep::tools {
namespace {

constexpr int32_t kClasses = 10;
constexpr int64_t kStepsAtOnce = 10;

struct BenchOptions {
  std::string model = "vgg";
  std::string train;
  int64_t batch_size = 64;  // of all processes together
  int64_t steps = 20;
  int64_t warm_up = 3;
  std::string device = kDefaultDevice;
  int64_t threads = 0;
  int64_t lanes = 0;
  double width = 1.0;
  std::string dtype = "float32";
  bool allow_tf32 = false;
  bool exact = false;
  bool json = false;
  bool profile = false;
  bool first_step = false;
  std::string algorithm_file;
  JobRanksOptions ranks;
  bool sync_batch_norm = false;
  std::string trace, trace_steps;
  int accumulate = 1;
};

Shape DefaultSample(const std::string& model) {
  if (model == "vgg") return Shape({3, 32, 32});
  if (model == "lenet") return Shape({1, 28, 28});
  if (model == "dnn") return Shape({7});
  return Shape({784});
}

double PeakMegabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024.0;
}

// Since the kernel started this process, in its ticks of usually 10 ms
// (https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html, field 22).
double ProcessAgeMilliseconds() {
  std::ifstream file("/proc/self/stat");
  std::string stat;
  std::getline(file, stat);
  // The second field, the name in brackets, may hold spaces.
  std::istringstream fields(stat.substr(std::min(stat.rfind(')') + 1, stat.size())));
  std::string field;
  for (int i = 3; i <= 22; ++i) fields >> field;
  timespec now{};
  if (!fields || ::clock_gettime(CLOCK_BOOTTIME, &now) != 0) {
    throw DeviceError("cannot read from /proc/self/stat when this process was started");
  }
  const double started = std::stod(field) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  return 1e3 *
         (static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec) - started);
}

bool IsClassifier(const BenchOptions& options) { return FindModel(options.model).classifier; }

// Of the channel that is asked for, or synthetic.
Dataset MakeDataset(const BenchOptions& options) {
  if (options.train.empty()) {
    return SyntheticDataset(DefaultSample(options.model), IsClassifier(options) ? kClasses : 0,
                            std::max<int64_t>(4 * options.batch_size, 256), 1);
  }
  Dataset dataset = LoadChannel(
      options.train, {.split = "train",
                      .labels = IsClassifier(options) ? LabelKind::kClasses : LabelKind::kTargets});
  if (IsClassifier(options)) dataset.CheckLabels(kClasses);
  if (dataset.size() < options.batch_size) {
    throw FormatError(options.train + " has " + Counted(dataset.size(), "row") +
                      ", fewer than a batch of " + std::to_string(options.batch_size) +
                      "; lower --batch-size");
  }
  return dataset;
}

// Everything a step needs, on data in memory.
class Bench {
 public:
  Bench(const BenchOptions& options, JobRanks& ranks)
      : options_(options),
        ranks_(ranks),
        backend_(OpenDevice({.device = options.device, .allow_tf32 = options.allow_tf32},
                            static_cast<int>(options.threads))
                     .backend),
        note_(ranks_.UseDevice(*backend_)),
        source_(MakeDataset(options), {.batch_size = options.batch_size,
                                       .drop_last = true,
                                       .rank = ranks_.rank(),
                                       .ranks = ranks_.size(),
                                       .cut = CutOf(options),
                                       .as_stored = !backend_->shares_host_memory()}),
        model_(MakeModel(options, source_.sample_type().shape)),
        network_(*model_.graph, *backend_,
                 {.compute_dtype = ComputeDTypeOf(options.dtype),
                  .lanes = static_cast<int>(options.lanes),
                  .accumulate = options.accumulate,
                  .exact_math = options.exact,
                  .group = &ranks_.group(),
                  .norm_over_ranks = options.sync_batch_norm,
                  .lane_bucket_bytes = static_cast<size_t>(options.ranks.bucket_bytes),
                  .algorithm_file = options.algorithm_file}),
        updater_(network_.variables(), *backend_, MakeMomentum(0.9), {.weight_decay = 5e-4}),
        schedule_(MakeConstantSchedule()),
        trainer_(network_, source_, updater_, *schedule_, ranks_.sync(),
                 {.epochs = 0, .learning_rate = 0.001}) {
    ranks_.Together([&] {
      if (!options.trace.empty() && ranks_.is_first()) CheckPublishable(options.trace);
    });
    MeterOptions meter;
    if (!options.trace.empty()) meter.trace = ParseTraceSteps(options.trace_steps);
    if (ranks_.size() > 1 || meter.trace) trainer_.Measure(meter);
  }

  ~Bench() { ranks_.LetGoOfDevice(); }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  double FirstStepMilliseconds() {
    trainer_.Step();
    trainer_.Settle();
    return ProcessAgeMilliseconds();
  }

  std::vector<double> Milliseconds() {
    trainer_.Prepare();
    for (int64_t i = 0; i < options_.warm_up; ++i) trainer_.Step();
    trainer_.Settle();
    if (trainer_.meter() != nullptr) trainer_.meter()->TakeInterval();
    std::vector<double> times;
    // A device is waited for behind some steps, as a training does, and their mean is the time of
    // each.
    const int64_t at_once = backend_->shares_host_memory() ? 1 : kStepsAtOnce;
    for (int64_t i = 0; i < options_.steps; i += at_once) {
      const int64_t steps = std::min(at_once, options_.steps - i);
      const auto start = std::chrono::steady_clock::now();
      for (int64_t step = 0; step < steps; ++step) trainer_.Step();
      trainer_.Settle();
      const std::chrono::duration<double, std::milli> took =
          std::chrono::steady_clock::now() - start;
      times.insert(times.end(), static_cast<size_t>(steps),
                   took.count() / static_cast<double>(steps));
    }
    return times;
  }

  // One row a line of the plan, and one for the update.
  std::string Profile() {
    Plan& plan = network_.plan(Mode::kTrain, options_.batch_size);
    std::vector<double> seconds;
    double update = 0.0;
    for (int64_t i = 0; i < options_.steps; ++i) {
      const Batch& batch = source_.Next();
      plan.SetInput("x", batch.x, batch.preparation);
      plan.SetInput("t", batch.labels);
      const LossSums sums = plan.RunTimed({.ids = batch.ids.data()}, &seconds);
      const auto start = std::chrono::steady_clock::now();
      updater_.Update(sums.count, 0.001);
      backend_->Synchronize();
      update += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
    const MachinePeak peak = MeasurePeak(*backend_);
    std::string text = PlanTable(plan, seconds, static_cast<double>(options_.steps), peak);
    char line[160];
    const double ms = update * 1e3 / static_cast<double>(options_.steps);
    const double bytes = static_cast<double>(network_.variables().flat_size()) * 4.0 * 5.0;
    std::snprintf(line, sizeof line, "update      %9.3f ms %8.1f GB/s\n", ms, bytes / ms * 1e-6);
    return text + line;
  }

  // Of the steps of Milliseconds(), which took `times`; "" for one process. Writes the trace. Every
  // rank calls it.
  std::string StepReport(const std::vector<double>& times) {
    StepMeter* const meter = trainer_.meter();
    if (meter == nullptr) return "";
    const StepSums sums = GatherSteps(ranks_.group(), meter->TakeInterval());
    const std::vector<std::string> hosts = GatherHosts(ranks_.group());
    const std::string& host = hosts[static_cast<size_t>(ranks_.rank())];
    if (meter->trace() != nullptr) {
      WriteTrace(ranks_.group(), *meter->trace(), host, meter->ClockErrors(), options_.trace);
    }
    if (ranks_.size() == 1) return "";
    const double mean =
        std::accumulate(times.begin(), times.end(), 0.0) / static_cast<double>(times.size());
    const std::vector<double> means = GatherValues(ranks_.group(), mean);
    if (options_.json) return StepJson(sums, means);
    const std::string straggler = StragglerLine(sums, hosts);
    return StepTable(sums) + (straggler.empty() ? "" : straggler + "\n");
  }

  const Backend& backend() const { return *backend_; }
  const std::string& note() const { return note_; }
  std::string unit() const { return SampleUnit(source_.sample_type().shape); }

 private:
  static BatchCut CutOf(const BenchOptions& options) {
    if (options.lanes == 0) return {};
    return LaneRunner::CutOf(static_cast<int>(options.lanes), LaneNorm::kSync);
  }
  static Model MakeModel(const BenchOptions& options, const Shape& sample) {
    const bool regression = options.model == "dnn";
    return BuildModel(
        {.name = options.model,
         .in_shape = sample,
         .classes = regression ? 1 : kClasses,
         .width = options.width,
         .hidden = regression ? std::vector<int64_t>{10, 10} : std::vector<int64_t>{}});
  }

  BenchOptions options_;
  JobRanks& ranks_;
  std::unique_ptr<Backend> backend_;
  std::string note_;  // on how gradients travel; may be empty
  DatasetSource source_;
  Model model_;
  Network network_;
  Updater updater_;
  std::unique_ptr<Schedule> schedule_;
  Trainer trainer_;
};

std::string FirstStepText(const BenchOptions& options, const Backend& backend, double ms) {
  char text[512];
  const auto batch = static_cast<long long>(options.batch_size);
  if (options.json) {
    std::snprintf(text, sizeof text,
                  "{\"engine\": \"lockstep\", \"device\": \"%s\", \"threads\": %d, "
                  "\"model\": \"%s\", \"dtype\": \"%s\", \"batch_size\": %lld, "
                  "\"first_step_ms\": %.1f, "
                  "\"peak_rss_mb\": %.1f}\n",
                  backend.fingerprint().c_str(), backend.threads(), options.model.c_str(),
                  options.dtype.c_str(), batch, ms, PeakMegabytes());
  } else {
    std::snprintf(text, sizeof text,
                  "%s, %s: %s, batch %lld\n  first step done %.0f ms after the start of the "
                  "process\n  memory %.0f MB peak\n",
                  backend.fingerprint().c_str(), Counted(backend.threads(), "thread").c_str(),
                  options.model.c_str(), batch, ms, PeakMegabytes());
  }
  return text;
}

std::string Json(const BenchOptions& options, const Backend& backend, int processes,
                 const std::vector<double>& times, const std::string& report) {
  const double median = Median(times);
  char text[512];
  std::snprintf(text, sizeof text,
                "{\"engine\": \"lockstep\", \"device\": \"%s\", \"processes\": %d, \"threads\": "
                "%d, \"model\": \"%s\", \"dtype\": \"%s\", \"batch_size\": %lld, \"steps\": %zu, "
                "\"median_ms\": %.5f, "
                "\"min_ms\": "
                "%.5f, \"images_per_s\": %.2f, \"peak_rss_mb\": %.1f",
                backend.fingerprint().c_str(), processes, backend.threads(), options.model.c_str(),
                options.dtype.c_str(), static_cast<long long>(options.batch_size), times.size(),
                median, *std::min_element(times.begin(), times.end()),
                static_cast<double>(options.batch_size) / median * 1e3, PeakMegabytes());
  return text + (report.empty() ? "" : ", \"ranks\": " + report) + "}\n";
}

std::string Summary(const BenchOptions& options, const Backend& backend, int processes,
                    const std::vector<double>& times, const std::string& unit) {
  const double median = Median(times);
  char text[256];
  std::snprintf(text, sizeof text,
                "%s, batch %lld, %s, %s, %s%s\n  step   %.3f ms median of %zu (min "
                "%.3f)\n  speed  %.1f %s/s\n  memory %.0f MB peak\n",
                options.model.c_str(), static_cast<long long>(options.batch_size),
                options.dtype.c_str(), backend.fingerprint().c_str(),
                processes > 1 ? (std::to_string(processes) + " processes of ").c_str() : "",
                Counted(backend.threads(), "thread").c_str(), median, times.size(),
                *std::min_element(times.begin(), times.end()),
                static_cast<double>(options.batch_size) / median * 1e3, unit.c_str(),
                PeakMegabytes());
  return text;
}

void Measure(Bench& run, const BenchOptions& bench, const JobRanks& ranks) {
  if (bench.first_step) {
    const double first = run.FirstStepMilliseconds();
    if (ranks.is_first()) PrintResult(FirstStepText(bench, run.backend(), first));
    return;
  }
  const std::vector<double> times = run.Milliseconds();
  const std::string report = run.StepReport(times);
  if (!ranks.is_first()) return;
  Console out(1);
  out.Write(bench.json ? Json(bench, run.backend(), ranks.size(), times, report)
                       : Summary(bench, run.backend(), ranks.size(), times, run.unit()));
  if (!bench.json && !run.note().empty()) out.Write("# " + run.note() + "\n");
  if (!bench.json) out.Write(report);
  if (bench.profile) out.Write(run.Profile());
  out.CheckWritten();
}

int BenchTrain(std::span<const std::string> arguments) {
  BenchOptions bench;
  bench.algorithm_file = DefaultAlgorithmFile();
  Options options("lockstep bench train", "Measures training steps on data in memory.");
  options.Add("model", &bench.model, "vgg, mlp, lenet or dnn (7-10-10-1 regression)");
  options.Add("train", &bench.train, "channel to train on; without it, made-up samples");
  options.Add("batch-size", &bench.batch_size, "samples in a step, of all processes together")
      .Min(1)
      .Max(1e9);
  options.Add("steps", &bench.steps, "steps that are timed").Min(1).Max(1e9);
  options.Add("warm-up", &bench.warm_up, "steps before them").Min(0).Max(1e9);
  AddDeviceOption(options, &bench.device);
  options.Add("threads", &bench.threads, "kernel threads; 0: one a core").Min(0).Max(1024);
  options.Add("lanes", &bench.lanes, "of the reproducible mode; 0: the fast mode").Min(0).Max(1024);
  options.Add("width", &bench.width, "factor of all channel counts (vgg, lenet)").Above(0);
  options.Add("first-step", &bench.first_step,
              "measure only from the start of the process to the end of the first step");
  options.Add("communicator", &bench.ranks.communicator,
              "under mpirun: how gradients are exchanged (auto, mpi, shm)");
  options
      .Add("bucket-bytes", &bench.ranks.bucket_bytes, "under mpirun: of the pieces; 0: one piece")
      .Min(0)
      .Max(1e12);
  options.Add("wire", &bench.ranks.wire, "under mpirun: 16 bits, or gradients as they are")
      .OneOf({kWireAsIs, "float16", "bfloat16"});
  options.Add("double-buffering", &bench.ranks.double_buffering,
              "gradients travel during the next step");
  options.Add("accumulate", &bench.accumulate, "parts in which each process runs a batch").Min(1);
  options.Add("sync-batch-norm", &bench.sync_batch_norm, "batch statistics of all processes");
  options
      .Add("trace", &bench.trace,
           "what all processes did when, for chrome://tracing or ui.perfetto.dev")
      .ValueName("FILE");
  options.Add("trace-steps", &bench.trace_steps, "only these steps, e.g. 10-20").ValueName("STEPS");
  options.Add("dtype", &bench.dtype, "of arithmetic; weights are float32")
      .OneOf({"float32", "bfloat16", "float16"});
  options.Add("allow-tf32", &bench.allow_tf32, "on a GPU: products of float32 rounded to TF32");
  options.Add("exact", &bench.exact, "no Winograd convolutions");
  options.Add("json", &bench.json, "print one JSON object");
  options.Add("profile", &bench.profile, "print every line of the plan with its share of the peak");
  options.Add("algorithm-file", &bench.algorithm_file, "where algorithm choices are remembered");
  options.RefuseUnknown();
  options.Parse(arguments);
  if (options.help_requested()) {
    if (LaunchedRank() == 0) PrintResult(options.Help());
    return 0;
  }
  RequireUsable({.dtype = bench.dtype,
                 .allow_tf32 = bench.allow_tf32,
                 .reproducible = bench.lanes > 0,
                 .double_buffering = bench.ranks.double_buffering});
  bench.ranks.error_feedback = !ScalesLoss(bench.dtype);
  RequireBucketBytes(bench.ranks.bucket_bytes);
  CheckTraceOptions({.trace = bench.trace, .trace_steps = bench.trace_steps});
  if (bench.profile && (bench.json || bench.first_step)) {
    throw ConfigError("--profile prints a table and goes with neither --json nor --first-step");
  }
  if (bench.lanes > 0 && (bench.ranks.wire != kWireAsIs || bench.ranks.double_buffering)) {
    throw ConfigError("--wire and --double-buffering are of the fast mode and go without --lanes");
  }
  if (bench.profile && bench.lanes > 0) {
    throw ConfigError("--profile times the plan of the fast mode and does not go with --lanes");
  }
  RequireLimits(LaunchedRanks(), bench.threads);
  JobRanks ranks(bench.ranks);
  std::optional<Bench> run;
  try {
    if (bench.profile && ranks.size() > 1) {
      throw ConfigError("--profile times the plan of one process; start it without mpirun");
    }
    run.emplace(bench, ranks);
    Measure(*run, bench, ranks);
  } catch (...) {
    // Others may wait for this one, and are to know why.
    ranks.Abort(DescribeFailure(std::current_exception()).text);
    throw;
  }
  return 0;
}

// Options are the same for all processes that a launcher has started, and so are their mistakes.
int RunOnce(int (*run)(std::span<const std::string>), std::span<const std::string> arguments,
            StopSignals& signals) {
  try {
    return run(arguments);
  } catch (const ConfigError& error) {
    signals.Catch();
    Failure failure{.text = error.what(), .code = error.code()};
    LetTheFirstSay(signals, &failure);
    throw Error(failure.code, failure.text);
  }
}

}  // namespace

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : 0.5 * (values[middle - 1] + values[middle]);
}

void RequireOneProcess(const std::string& verb) {
  if (LaunchedRanks() == 1) return;
  throw ConfigError(verb + " measures one process, but a launcher has started " +
                    std::to_string(LaunchedRanks()) + "; start it without the launcher");
}

int RunBench(std::span<const std::string> arguments, StopSignals& signals) {
  const std::string what = arguments.empty() ? "" : arguments.front();
  if (what == "--help" || what == "-h") {
    PrintResult(
        "usage: lockstep bench train [options]       (lockstep bench train --help)\n"
        "       lockstep bench kernels [options]     (lockstep bench kernels --help)\n"
        "       lockstep bench allreduce [options]   (lockstep bench allreduce --help)\n"
        "       lockstep bench read FILE...          (lockstep bench read --help)\n");
    return 0;
  }
  if (what == "train") return RunOnce(BenchTrain, arguments.subspan(1), signals);
  if (what == "kernels") return RunOnce(RunBenchKernels, arguments.subspan(1), signals);
  if (what == "allreduce") return RunOnce(RunBenchAllreduce, arguments.subspan(1), signals);
  if (what == "read") return RunOnce(RunBenchRead, arguments.subspan(1), signals);
  throw ConfigError(
      "bench wants what to measure: lockstep bench train, kernels, allreduce or read, with "
      "options");
}

}  // namespace lockstep::tools
