// Everything `lockstep train` can be told, after defaults, the platform and argv were merged.
#ifndef LOCKSTEP_TOOLS_TRAIN_OPTIONS_H_
#define LOCKSTEP_TOOLS_TRAIN_OPTIONS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/channel.h"
#include "data/row_transform.h"
#include "engine/optim/optimizer.h"
#include "engine/optim/schedule.h"
#include "models/model.h"
#include "tools/device.h"
#include "tools/environment.h"
#include "tools/job_ranks.h"

namespace lockstep::tools {

struct TrainOptions {
  // What to train.
  std::string model = "mlp";
  std::vector<int64_t> hidden;
  double width = 1.0;
  int64_t classes = 10;
  std::string init_from;
  bool strict_init = true;
  std::vector<std::string> freeze;

  // On what.
  std::string train, test;
  std::string data = "replicated";  // or "sharded": each host has other files
  ChannelOptions channel;
  TransformOptions transform;
  std::vector<double> mean, stddev;  // of scaled samples: one, or one a channel
  bool shuffle = true;

  // How.
  int64_t epochs = 50;
  int64_t iterations = 0;
  int64_t batch_size = 64;
  int accumulate = 1;
  double learning_rate = 0.05;
  std::string optimizer = "momentum";
  double momentum = 0.9;
  double beta1 = 0.9, beta2 = 0.999;
  std::optional<double> rho, eps;  // ParseTrainOptions fills in the optimizer's own
  double weight_decay = 5e-4;
  double gradient_clipping = 0.0;
  std::string schedule = "exponential-shift";
  double schedule_factor = 0.5;
  int64_t schedule_epochs = 25;
  std::vector<int64_t> schedule_steps;
  double decay = 0.0;
  int64_t warm_up = 0;
  uint64_t seed = 0;
  std::string dtype = "float32";
  bool allow_tf32 = false;
  std::string device = kDefaultDevice;
  std::optional<int> allowed_gpus;  // by the platform
  int64_t threads = 0;
  bool exact_math = false;
  bool reproducible = false;
  int lanes = 8;
  std::string lane_norm = "sync";
  std::string algorithm_file;

  // Over several processes.
  int ranks = 0;                         // to start; 0: those that a launcher has started
  std::vector<std::string> mpi_options;  // more words for the mpirun that starts them
  int64_t check_every = 100;
  int64_t grace = 100;  // seconds
  std::string communicator = "auto";
  int64_t bucket_bytes = int64_t{4} << 20;
  std::string wire = kWireAsIs;
  bool error_feedback = true;
  bool double_buffering = false;
  bool sync_batch_norm = false;
  bool average_statistics = true;
  double heartbeat_timeout = 7.0;
  double collective_timeout = 300.0;
  double join_timeout = 300.0;
  int heartbeat_port = 0;

  // Where to.
  std::string model_dir, output_data_dir, checkpoint_dir;
  std::string checkpoint_every;  // "500" iterations, "30s", "10min", "1h"; "": once an epoch
  int64_t keep_checkpoints = 2;
  std::optional<bool> resume;  // unset: if there is a checkpoint
  int64_t early_stopping = 0;  // epochs without an improvement; 0: never
  std::string monitor, monitor_mode = "auto";
  int64_t snapshot_every = 0;  // epochs between Chainer-readable snapshots; -1: behind the last one
  std::string trace;           // file of what all processes did when; empty: none
  std::string trace_steps;     // "100-200"; empty: all

  std::vector<std::string> other_hosts;  // of the job, as the platform names them
  std::vector<std::string> unknown;      // options nobody declared, for the log
  std::vector<std::string> notes;  // what was understood in another way than asked, for the log
  std::string help;                // the help text, when it was asked for
};

// Throws ConfigError for values that cannot be, and for missing directories names the option, the
// variable and the channels that are there; 78 for a cluster of several machines that no launcher
// has started the job on.
TrainOptions ParseTrainOptions(std::span<const std::string> arguments,
                               const Environment& environment);

std::unique_ptr<Optimizer> MakeOptimizer(const TrainOptions& options);
std::unique_ptr<Schedule> MakeSchedule(const TrainOptions& options);

// When checkpoints are due: every so many iterations or seconds; neither: once an epoch.
struct CheckpointInterval {
  int64_t iterations = 0;
  double seconds = 0.0;
};
CheckpointInterval ParseCheckpointInterval(const std::string& text);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_TRAIN_OPTIONS_H_
