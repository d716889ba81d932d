#include "tools/train_options.h"

#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "comm/names.h"
#include "engine/text.h"
#include "kernels/error.h"
#include "tools/algorithm_file.h"
#include "tools/device.h"
#include "tools/early_stopping.h"
#include "tools/option_values.h"
#include "tools/options.h"
#include "tools/platform_ranks.h"
#include "tools/precision.h"
#include "tools/step_report.h"
#include "tools/text.h"

namespace lockstep::tools {
namespace {

// Beyond these, products with the number of samples would leave int64_t.
constexpr double kMostBucketBytes = 1e12;
constexpr double kMostRanks = 1024, kMostParts = 1e6;
constexpr double kMostEpochs = 1e9, kMostIterations = 1e15, kMostSamples = 1e9, kMostPixels = 65536;
// Below these a pause of the machine looks like a death, and what others told half a second ago as
// if they did not come.
constexpr double kLeastSilence = 2.0, kLeastWait = 1.0;
// Samples are float32: beyond these a byte, or its distance from the mean, would leave its range.
constexpr double kMostScale = 1e36, kMostMean = 1e38, kLeastDeviation = 1e-37;
constexpr double kMostPort = 65534;
constexpr double kMostSeconds = 1e9, kMostWait = 1e6;

void DeclareModel(Options& options, TrainOptions* o, bool* no_strict) {
  std::vector<std::string> models;
  for (const ModelInfo& info : KnownModels()) models.push_back(info.name);
  options.Group("Network");
  options.Add("model", &o->model, "the network").OneOf(models);
  options.Add("hidden", &o->hidden, "units of the hidden layers, e.g. 300,100")
      .ValueName("LIST")
      .DefaultText("mlp 1000,1000; dnn 10,10");
  options.Add("width", &o->width, "factor of all channel counts (vgg, lenet)").Above(0);
  options.Add("classes", &o->classes, "outputs of the network").Min(1);
  options.Add("init-from", &o->init_from, "start from the weights in this npz file or snapshot")
      .ValueName("FILE");
  options.Add("init-strict", &o->strict_init,
              "every array must be in that file; False keeps the start value of missing ones");
  options.Add("no-strict", no_strict, "the same as --init-strict False; no opposite of --strict");
  options.Add("freeze", &o->freeze, "parameters that stay as they are, e.g. 'predictor/block1*'")
      .ValueName("GLOBS");
}

void DeclareData(Options& options, TrainOptions* o) {
  options.Group("Data");
  options.Add("train", &o->train, "training channel")
      .ValueName("DIR")
      .DefaultText("SM_CHANNEL_TRAIN");
  options.Add("test", &o->test, "validation channel")
      .ValueName("DIR")
      .DefaultText("SM_CHANNEL_TEST");
  options
      .Add("data", &o->data,
           "what hosts see of a channel: all the same files (replicated), or each a part of them "
           "(sharded, as by ShardedByS3Key)")
      .OneOf({"replicated", "sharded"});
  options.Add("training-data-file", &o->channel.file, "only this file of each channel");
  options.Add("data-key", &o->channel.data_key, "array of the samples in npz files");
  options.Add("label-key", &o->channel.label_key, "array of the labels in npz files");
  options.Add("shuffle", &o->shuffle, "another order of the samples each epoch");
  options.Add("scale", &o->transform.scale, "factor of byte samples")
      .Min(-kMostScale)
      .Max(kMostScale)
      .DefaultText("1/255");
  options.Add("mean", &o->mean, "subtracted from scaled samples: one number, or one a channel")
      .Min(-kMostMean)
      .Max(kMostMean);
  options.Add("stddev", &o->stddev, "what they are divided by then")
      .Min(kLeastDeviation)
      .Max(kMostMean);
  options.Add("pad", &o->transform.padding, "zeros added around each picture")
      .Min(0)
      .Max(kMostPixels);
  options.Add("crop", &o->transform.crop, "side of the part cut from each picture")
      .Min(0)
      .Max(kMostPixels);
  options.Add("random-crop", &o->transform.random_crop, "cut at a random place");
  options.Add("flip", &o->transform.flip, "mirror every other picture");
}

void DeclareTraining(Options& options, TrainOptions* o) {
  options.Group("Training");
  options.Add("epochs", &o->epochs, "passes over the training data")
      .Min(1)
      .Max(kMostEpochs)
      .Alias("epoch")
      .Short('e');
  options.Add("iterations", &o->iterations, "stop after so many steps; 0: no limit")
      .Min(0)
      .Max(kMostIterations);
  options.Add("batch-size", &o->batch_size, "samples in a step, of all processes together")
      .Min(1)
      .Max(kMostSamples)
      .Alias("batchsize")
      .Short('b');
  options
      .Add("accumulate", &o->accumulate,
           "parts in which each process runs its samples of a step, to save memory")
      .Min(1)
      .Max(kMostParts);
  options.Add("learning-rate", &o->learning_rate, "of the first step")
      .Above(0)
      .Alias("lr")
      .DefaultText("0.05; adam, adamw, adagrad 0.001; rmsprop 0.01; adadelta 1");
  options.Add("optimizer", &o->optimizer, "update rule")
      .OneOf({"sgd", "momentum", "nag", "nesterov", "adam", "adamw", "rmsprop", "adagrad",
              "adadelta"});
  options.Add("momentum", &o->momentum, "momentum, nag, nesterov").Min(0).Max(1);
  options.Add("beta1", &o->beta1, "adam, adamw").Min(0).Below(1);
  options.Add("beta2", &o->beta2, "adam, adamw").Min(0).Below(1);
  options.Add("rho", &o->rho, "decay of squared gradients")
      .Min(0)
      .Max(1)
      .DefaultText("rmsprop 0.99; adadelta 0.95");
  options.Add("eps", &o->eps, "keeps divisors from 0")
      .Above(0)
      .DefaultText("adam, adamw, rmsprop, adagrad 1e-08; adadelta 1e-06");
  options.Add("weight-decay", &o->weight_decay, "adamw: decoupled; others: added to the gradient")
      .Min(0);
  options.Add("gradient-clipping", &o->gradient_clipping, "largest norm of all gradients; 0: none")
      .Min(0);
  options.Add("schedule", &o->schedule, "how the learning rate changes")
      .OneOf({"constant", "exponential-shift", "steps", "cosine", "decay"});
  options.Add("schedule-factor", &o->schedule_factor, "exponential-shift, steps").Above(0);
  options.Add("schedule-epochs", &o->schedule_epochs, "exponential-shift: epochs between")
      .Min(1)
      .Max(kMostEpochs);
  options.Add("schedule-steps", &o->schedule_steps, "steps: epochs at which it changes")
      .Min(0)
      .Max(kMostEpochs);
  options.Add("decay", &o->decay, "Keras's decay: rate / (1 + decay * step)").Min(0);
  options.Add("warm-up", &o->warm_up, "steps of linear warm-up").Min(0).Max(kMostIterations);
  options.Add("seed", &o->seed, "of start values, order, dropout and cropping");
  options
      .Add("dtype", &o->dtype,
           "of weights and arithmetic; bfloat16 and float16: mixed precision, weights of float32")
      .OneOf({"float32", "float64", "bfloat16", "float16"});
  options.Add("allow-tf32", &o->allow_tf32,
              "on a GPU: products of float32 rounded to the 10 bits of TF32, several times faster");
  AddDeviceOption(options, &o->device);
  options.Add("threads", &o->threads, "kernel threads; 0: one a core that is this process's")
      .Min(0)
      .Max(1024);
  options.Add("reproducible", &o->reproducible,
              "the same bits from any number of processes and threads");
  options.Add("lanes", &o->lanes, "reproducible: parts that a batch is cut into").Min(1).Max(1024);
  options.Add("lane-norm", &o->lane_norm, "reproducible: batch statistics of all lanes or of each")
      .OneOf({"sync", "lane"});
  options.Add("exact-math", &o->exact_math, "no Winograd convolutions");
  options.Add("algorithm-file", &o->algorithm_file, "where algorithm choices are remembered");
}

void DeclareStopping(Options& options, TrainOptions* o) {
  options
      .Add("early-stopping", &o->early_stopping,
           "epochs without an improvement after which training ends; 0: never")
      .Min(0)
      .Max(kMostEpochs)
      .Alias("patience");
  options.Add("monitor", &o->monitor, "early-stopping: what has to improve, by its name in the log")
      .DefaultText("validation/main/loss, without --test main/loss");
  options
      .Add("monitor-mode", &o->monitor_mode, "early-stopping: auto lets accuracy grow, others fall")
      .OneOf({"auto", "min", "max"});
}

void DeclareRanks(Options& options, TrainOptions* o) {
  options.Group("Several processes");
  options
      .Add("ranks", &o->ranks,
           "how many to start on this host; 0: those that mpirun has started, or one for each GPU "
           "of "
           "--device auto or cuda")
      .Min(0)
      .Max(kMostRanks);
  options
      .Add("communicator", &o->communicator,
           "how they exchange gradients: auto (shared memory, MPI between hosts), mpi, shm, or a "
           "name of ChainerMN's")
      .OneOf(TransportNames());
  options
      .Add("check-every", &o->check_every,
           "steps between comparisons of the processes' weights; 0: never")
      .Min(0)
      .Max(kMostIterations);
  options.Add("bucket-bytes", &o->bucket_bytes, "size of the pieces of gradients; 0: all at once")
      .Min(0)
      .Max(kMostBucketBytes);
  options.Add("wire", &o->wire, "how gradients travel: as they are, or rounded to 16 bits")
      .OneOf({kWireAsIs, "float16", "bfloat16"})
      .Alias("allreduce-grad-dtype");
  options
      .Add("error-feedback", &o->error_feedback,
           "what rounding takes from a gradient is added to the next one")
      .DefaultText("True; False with --dtype float16");
  options.Add("double-buffering", &o->double_buffering,
              "gradients travel during the whole of the next step, and are used a step late");
  options.Add("sync-batch-norm", &o->sync_batch_norm,
              "batch statistics of all processes, not of each");
  options.Add("average-statistics", &o->average_statistics,
              "running statistics are the mean over processes; else those of the first are saved");
  options
      .Add("heartbeat-timeout", &o->heartbeat_timeout,
           "seconds without a word from a process after which it counts as lost; 0: never")
      .Min(0)
      .Max(kMostWait);
  options
      .Add("collective-timeout", &o->collective_timeout,
           "seconds that others wait for a process after which it counts as lost; 0: for ever")
      .Min(0)
      .Max(kMostWait);
  options
      .Add("heartbeat-port", &o->heartbeat_port,
           "where the first process listens for the others, one of another host at the next port; "
           "0: the system chooses")
      .Min(0)
      .Max(kMostPort);
  options
      .Add("join-timeout", &o->join_timeout,
           "seconds in which all processes are to come to the start of the job; 0: for ever")
      .Min(0)
      .Max(kMostWait);
}

void DeclareOutput(Options& options, TrainOptions* o) {
  options.Group("Results");
  options.Add("model-dir", &o->model_dir, "where the model is written")
      .ValueName("DIR")
      .DefaultText("SM_MODEL_DIR");
  options.Add("output-data-dir", &o->output_data_dir, "where log, plots and graph are written")
      .ValueName("DIR")
      .DefaultText("SM_OUTPUT_DATA_DIR");
  options.Add("checkpoint-dir", &o->checkpoint_dir, "where checkpoints are kept")
      .ValueName("DIR")
      .DefaultText("the platform's, if it has one");
  options
      .Add("checkpoint-every", &o->checkpoint_every,
           "steps (500) or time (30s, 10min, 1h) between checkpoints")
      .DefaultText("once an epoch");
  options.Add("keep-checkpoints", &o->keep_checkpoints, "how many; 0: all").Min(0).Max(1e6);
  options.Add("grace", &o->grace, "seconds to save in after a signal to stop; then it ends with 75")
      .Min(1)
      .Max(86400);
  options.Add("resume", &o->resume, "go on from the newest checkpoint")
      .DefaultText("if there is one");
  options
      .Add("snapshot-every", &o->snapshot_every,
           "epochs between snapshots that Chainer reads; 0: none, -1: one behind the last")
      .Alias("frequency")  // of Chainer's examples
      .Min(-1)
      .Max(kMostEpochs);
  options
      .Add("trace", &o->trace,
           "what all processes did when, for chrome://tracing or ui.perfetto.dev")
      .ValueName("FILE");
  options.Add("trace-steps", &o->trace_steps, "only these steps, e.g. 100-200")
      .ValueName("STEPS")
      .DefaultText("the newest that fit");
}

// In Pipe mode the channel's directory does not exist; beside its place lie pipes, one an epoch.
void RequireFileMode(const Channel& channel) {
  struct stat status {};
  const bool absent = ::stat(channel.dir.c_str(), &status) != 0;
  const bool pipe = ::stat((channel.dir + "_0").c_str(), &status) == 0 && S_ISFIFO(status.st_mode);
  if (!channel.pipe && !(absent && pipe)) return;
  throw ConfigError("channel " + channel.name +
                    " is in Pipe mode; only files are read: start the job with its "
                    "TrainingInputMode set to File or FastFile");
}

// TensorFlow's estimators pass --model_dir s3://bucket/...; the platform uploads its own directory.
std::string LocalDirectory(const std::string& option, const std::string& given,
                           const std::optional<std::string>& platform, const std::string& remedy,
                           TrainOptions* o) {
  if (given.empty()) return platform.value_or("");
  const size_t scheme = given.find("://");
  if (scheme == 0 || scheme == given.npos || given.find('/') < scheme) return given;
  if (!platform) {
    throw ConfigError("--" + option + " " + Quote(given) +
                      " is no directory of this machine: give one, or " + remedy);
  }
  o->notes.push_back("--" + option + " " + Quote(given) + " is no directory of this machine: " +
                     *platform + " is used, which the platform uploads");
  return *platform;
}

// Hosts that nobody brings together would each train a model of their own.
void RequireLauncher(const Environment& environment) {
  if (environment.hosts.size() == 1 || environment.processes > 1) return;
  throw ConfigError("the job has " + std::to_string(environment.hosts.size()) + " hosts (" +
                        OneLine(Join(environment.hosts, ", "), 200) +
                        "), each of which would train a model of its own: start it with mpirun (on "
                        "the platform, MPI as the distribution), or ask for one instance",
                    ExitCode::kBadCluster);
}

void RequireSameRanks(const Environment& environment, int ranks) {
  if (ranks == 0 || environment.processes == 1 || environment.processes == ranks) return;
  throw ConfigError("--ranks " + std::to_string(ranks) + ", but a launcher has started " +
                    std::to_string(environment.processes) +
                    " processes; leave --ranks out or start it without the launcher");
}

// The directory of a channel: given, or the platform's.
std::string ChannelDir(const std::string& given, const std::string& name,
                       const Environment& environment, bool required) {
  if (!given.empty()) return given;
  if (const Channel* channel = environment.FindChannel(name)) {
    RequireFileMode(*channel);
    return channel->dir;
  }
  if (!required) return "";
  std::string variable = "SM_CHANNEL_" + name;
  std::transform(variable.begin(), variable.end(), variable.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  throw ConfigError("no " + name + " channel: give --" + name + " DIR or set " + variable +
                    "; channels found: " + environment.ChannelNames());
}

void FillFromEnvironment(const Environment& environment, TrainOptions* o) {
  o->train = ChannelDir(o->train, "train", environment, true);
  o->test = ChannelDir(o->test, "test", environment, false);
  o->model_dir =
      LocalDirectory("model-dir", o->model_dir, environment.model_dir, "set SM_MODEL_DIR", o);
  if (o->model_dir.empty()) {
    throw ConfigError("no place for the model: give --model-dir DIR or set SM_MODEL_DIR");
  }
  o->output_data_dir = LocalDirectory("output-data-dir", o->output_data_dir,
                                      environment.output_data_dir, "set SM_OUTPUT_DATA_DIR", o);
  o->checkpoint_dir =
      LocalDirectory("checkpoint-dir", o->checkpoint_dir, environment.checkpoint_dir,
                     "make " + environment.base_dir + "/checkpoints", o);
  o->allowed_gpus = environment.num_gpus;
}

// What the log of each epoch will have.
void FillMonitor(TrainOptions* o) {
  if (o->monitor.empty()) o->monitor = o->test.empty() ? "main/loss" : "validation/main/loss";
  o->monitor = MonitorKey(o->monitor);
  if (o->early_stopping == 0) return;
  const std::string metric = FindModel(o->model).classifier ? "accuracy" : "rmse";
  std::vector<std::string> keys = {"main/loss", "main/" + metric};
  if (!o->test.empty()) {
    keys.insert(keys.end(), {"validation/main/loss", "validation/main/" + metric});
  }
  if (std::find(keys.begin(), keys.end(), o->monitor) != keys.end()) return;
  throw ConfigError("--monitor " + Quote(o->monitor) + " is not in the log of this job; it has " +
                    Join(keys, ", "));
}

void RequireShardable(const TrainOptions& o) {
  if (o.data != "sharded") return;
  if (o.reproducible) {
    throw ConfigError(
        "--data sharded makes the result depend on what each host has; with --reproducible every "
        "host needs the whole data: leave one of the two out");
  }
  if (o.snapshot_every != 0) {
    throw ConfigError(
        "--snapshot-every writes one order of all samples, which --data sharded has not; leave one "
        "of the two out");
  }
}

void RequireTimeout(const char* option, double seconds, double least) {
  if (seconds == 0.0 || seconds >= least) return;
  throw ConfigError("--" + std::string(option) + " " + FormatG(seconds) + ": wants at least " +
                    FormatG(least) + " s, or 0: processes speak twice a second");
}

// Each is in range, but a byte may still leave it by all three.
void CheckNormalisation(const TrainOptions& o) {
  double mean = 0.0, deviation = o.stddev.empty() ? 1.0 : o.stddev.front();
  for (const double value : o.mean) mean = std::max(mean, std::abs(value));
  for (const double value : o.stddev) deviation = std::min(deviation, value);
  const double largest = (255.0 * std::abs(o.transform.scale) + mean) / deviation;
  if (largest <= double{std::numeric_limits<float>::max()}) return;
  throw ConfigError("--scale, --mean and --stddev make " + FormatG(largest) +
                    " of a byte, beyond float32; lower --scale or raise --stddev");
}

}  // namespace

TrainOptions ParseTrainOptions(std::span<const std::string> arguments,
                               const Environment& environment) {
  TrainOptions o;
  o.algorithm_file = DefaultAlgorithmFile();
  Options options("lockstep train", "Trains a network on channel data and writes the model.");
  bool no_strict = false;
  DeclareModel(options, &o, &no_strict);
  DeclareData(options, &o);
  DeclareTraining(options, &o);
  DeclareStopping(options, &o);
  DeclareRanks(options, &o);
  DeclareOutput(options, &o);
  options.Parse(arguments, environment.hyperparameters);
  if (options.help_requested()) {
    o.help = options.Help();
    return o;
  }
  RequireLauncher(environment);
  RequireSameRanks(environment, o.ranks);
  PlatformRanks platform = RanksOfPlatform(environment);
  if (o.ranks == 0) o.ranks = platform.ranks;
  o.mpi_options = std::move(platform.mpi_options);
  RequireTimeout("heartbeat-timeout", o.heartbeat_timeout, kLeastSilence);
  RequireTimeout("collective-timeout", o.collective_timeout, kLeastWait);
  CheckTraceOptions({.trace = o.trace, .trace_steps = o.trace_steps});
  if (o.reproducible && (o.sync_batch_norm || !o.average_statistics)) {
    throw ConfigError(
        "--sync-batch-norm and --average-statistics are of the fast mode; with "
        "--reproducible, --lane-norm says what batch statistics are taken over");
  }
  if (o.reproducible && (o.wire != kWireAsIs || o.double_buffering)) {
    throw ConfigError(
        "--wire and --double-buffering are of the fast mode: what they compute depends on the "
        "number of processes, which --reproducible promises it does not");
  }
  RequireUsable({.dtype = o.dtype,
                 .allow_tf32 = o.allow_tf32,
                 .reproducible = o.reproducible,
                 .double_buffering = o.double_buffering,
                 .error_feedback =
                     options.given("error-feedback") && o.error_feedback && o.wire != kWireAsIs});
  if (ScalesLoss(o.dtype)) o.error_feedback = false;
  RequireBucketBytes(o.bucket_bytes);
  RequireShardable(o);
  if (o.accumulate > o.batch_size) {
    throw ConfigError("--accumulate " + std::to_string(o.accumulate) + " parts of --batch-size " +
                      std::to_string(o.batch_size) +
                      ": a part has at least one sample; give fewer parts or a larger batch");
  }
  if (no_strict) o.strict_init = false;
  o.unknown = options.unknown();
  for (const std::string& host : environment.hosts) {
    if (host != environment.current_host) o.other_hosts.push_back(host);
  }
  FillFromEnvironment(environment, &o);
  FillMonitor(&o);
  if (!o.rho) o.rho = o.optimizer == "adadelta" ? 0.95 : 0.99;
  if (!o.eps) o.eps = o.optimizer == "adadelta" ? 1e-6 : 1e-8;
  const std::unique_ptr<Optimizer> optimizer = MakeOptimizer(o);
  const bool plain = o.optimizer == "sgd" || o.optimizer == "momentum" || o.optimizer == "nag" ||
                     o.optimizer == "nesterov";
  // 0.05 is what the momentum recipe wants; the adaptive rules have rates of their own.
  if (!options.given("learning-rate") && !plain) {
    o.learning_rate = optimizer->default_learning_rate();
  }
  if (o.schedule == "steps" && o.schedule_steps.empty()) {
    throw ConfigError("--schedule steps wants --schedule-steps, e.g. 30,60,80");
  }
  if (options.given("decay") && !options.given("schedule")) o.schedule = "decay";
  if (o.resume == true && o.checkpoint_dir.empty()) {
    throw ConfigError("--resume wants --checkpoint-dir DIR");
  }
  o.transform.mean = {o.mean.begin(), o.mean.end()};
  o.transform.deviation = {o.stddev.begin(), o.stddev.end()};
  CheckNormalisation(o);
  ParseCheckpointInterval(o.checkpoint_every);
  return o;
}

CheckpointInterval ParseCheckpointInterval(const std::string& text) {
  if (text.empty()) return {};
  const size_t digits = text.find_first_not_of("0123456789.");
  const std::string unit = digits == std::string::npos ? "" : text.substr(digits);
  const std::optional<double> number = ParseDouble(text.substr(0, digits));
  if (number && *number > 0.0) {
    const double seconds = unit == "h"                    ? 3600.0
                           : unit == "min" || unit == "m" ? 60.0
                           : unit == "s"                  ? 1.0
                                                          : 0.0;
    const bool in_range = *number * std::max(seconds, 1e-6) <= kMostSeconds;
    if (seconds > 0.0 && in_range) return {.seconds = seconds * *number};
    if (const auto whole = ParseInt(text); unit.empty() && whole && in_range) {
      return {.iterations = *whole};
    }
  }
  throw ConfigError("--checkpoint-every " + Quote(text) +
                    ": wants a number of steps (500) or a time (30s, 10min, 1h)");
}

}  // namespace lockstep::tools
