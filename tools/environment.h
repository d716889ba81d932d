// What the training platform tells a program: SM_* variables and the files under /opt/ml. Every
// part is optional; outside the platform an Environment is simply empty.
#ifndef LOCKSTEP_TOOLS_ENVIRONMENT_H_
#define LOCKSTEP_TOOLS_ENVIRONMENT_H_

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep::tools {

// One input channel. In Pipe mode `dir` does not exist; <dir>_<epoch> are the named pipes.
struct Channel {
  std::string name;
  std::string dir;
  std::string content_type;  // "" where none is given
  bool pipe = false;         // TrainingInputMode Pipe
  bool sharded = false;      // S3DistributionType ShardedByS3Key: this host has a part only
  bool record_io = false;    // RecordWrapperType RecordIO
};

// Hyperparameters of one origin, as the text argv would carry ("True", "1e-05", "[1, 2, 'x']").
struct HyperparameterSet {
  std::string source;  // "SM_HPS" or the file's path
  std::map<std::string, std::string> values;
};

// A plain value; ReadEnvironment fills it. Paths are as given, not resolved.
struct Environment {
  std::string base_dir;      // SAGEMAKER_BASE_DIR, else /opt/ml
  bool on_platform = false;  // base_dir exists, or was asked for

  std::vector<Channel> channels;  // in the order of their names
  std::optional<std::string> model_dir;
  std::optional<std::string> output_dir;       // where the failure file goes
  std::optional<std::string> output_data_dir;  // plots, log, graph
  // "checkpoints", or "checkpoint" as older jobs have it; only where the platform has made it.
  std::optional<std::string> checkpoint_dir;

  std::vector<std::string> hosts;  // never empty; this machine alone outside a cluster
  std::string current_host;
  std::string network_interface;  // "" where nothing names one
  int processes = 1;              // that MPI's launcher started, on all hosts together

  std::optional<int> num_gpus;  // what the platform allows; absent: look for yourself
  int num_cpus = 1;             // SM_NUM_CPUS, else those this process may run on
  int log_level = 20;           // Python's numbers: 10 debug, 20 info, 30 warning ...
  std::string job_name;

  std::vector<HyperparameterSet> hyperparameters;           // first wins
  std::map<std::string, std::string> framework_parameters;  // the sagemaker_* ones, kept apart

  // The channel of that name (case and '-'/'_' do not matter; "train" and "training" stand for
  // each other where only one exists); null if there is none.
  const Channel* FindChannel(std::string_view name) const;
  // "train, test" for messages, or "none".
  std::string ChannelNames() const;
};

using Variables = std::map<std::string, std::string>;

// This process's own environment.
Variables ProcessVariables();

// Throws ConfigError naming the variable or file, and where in it, for what cannot be understood:
// 78 where that describes the cluster, else 64.
Environment ReadEnvironment(const Variables& variables);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_ENVIRONMENT_H_
