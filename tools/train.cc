// `lockstep train`: the entry point of a training job.
#include <algorithm>
#include <chrono>
#include <exception>
#include <optional>
#include <string>
#include <utility>

#include "comm/world.h"
#include "kernels/error.h"
#include "tools/device.h"
#include "tools/end_deadline.h"
#include "tools/failure.h"
#include "tools/failure_file.h"
#include "tools/join_deadline.h"
#include "tools/launch.h"
#include "tools/limits.h"
#include "tools/rank_failure.h"
#include "tools/rank_log.h"
#include "tools/signals.h"
#include "tools/train_job.h"
#include "tools/train_options.h"
#include "tools/verbs.h"

namespace lockstep::tools {
namespace {

// Where the failure file goes, also when the rest of the environment cannot be understood.
std::string FailureDirectory(const Variables& variables) {
  const auto get = [&](const char* name, const std::string& otherwise) {
    const auto found = variables.find(name);
    return found == variables.end() || found->second.empty() ? otherwise : found->second;
  };
  return get("SM_OUTPUT_DIR", get("SAGEMAKER_BASE_DIR", "/opt/ml") + "/output");
}

void Join(const TrainOptions& options, const std::string& failure_dir, const StopSignals& signals,
          std::optional<JobRanks>* ranks) {
  const JoinDeadline deadline({.seconds = options.join_timeout,
                               .failure_dir = failure_dir,
                               .other_hosts = options.other_hosts},
                              signals);
  ranks->emplace(
      JobRanksOptions{.communicator = options.communicator,
                      .bucket_bytes = options.bucket_bytes,
                      .average_statistics = options.average_statistics,
                      .wire = options.wire,
                      .error_feedback = options.error_feedback,
                      .double_buffering = options.double_buffering,
                      .heartbeat = {.silence = options.heartbeat_timeout,
                                    .stuck = options.collective_timeout,
                                    .port = static_cast<uint16_t>(options.heartbeat_port),
                                    .failure_dir = failure_dir}});
}

// More than one a lane have nothing to do.
int RanksForGpus(const TrainOptions& options) {
  const int ranks = ProcessesFor({.device = options.device, .allowed_gpus = options.allowed_gpus});
  return options.reproducible ? std::min(ranks, options.lanes) : ranks;
}

}  // namespace

int RunTrain(std::span<const std::string> arguments, StopSignals& signals) {
  signals.Catch();
  if (LaunchedRanks() > 1) signals.FollowParent();
  if (StartedByLaunchRanks()) signals.LetAnotherSpeak();
  const Variables variables = ProcessVariables();
  std::optional<RankLog> rank_log;
  std::optional<Console> console;
  std::optional<JobRanks> ranks;
  std::optional<StopSignals::LastAct> goodbye;
  std::optional<TrainJob> job;
  try {
    TrainOptions options = ParseTrainOptions(arguments, ReadEnvironment(variables));
    if (!options.help.empty()) {
      if (LaunchedRank() == 0) PrintResult(options.help);
      return 0;
    }
    if (options.ranks == 0 && LaunchedRanks() == 1) options.ranks = RanksForGpus(options);
    if (options.ranks > 1 && LaunchedRanks() == 1) {
      return LaunchRanks(options.ranks, options.mpi_options, arguments,
                         std::chrono::seconds(options.grace), signals);
    }
    signals.SetGrace(std::chrono::seconds(options.grace));
    RequireLimits(LaunchedRanks(), options.threads);
    Join(options, FailureDirectory(variables), signals, &ranks);
    goodbye.emplace([](const void* all) { static_cast<const JobRanks*>(all)->LeaveFromSignal(); },
                    &*ranks);
    if (ranks->is_first()) {
      console.emplace(1, ranks->size() > 1 ? Console::Kind::kNoTerminal : Console::Kind::kWhatItIs);
    } else {
      rank_log.emplace(options.output_data_dir, ranks->rank(), ranks->size());
      ranks->SetLog(&*rank_log);
      console.emplace(rank_log->fd(), Console::Kind::kNoTerminal, RankLog::kMostBytes);
    }
    const double patience = ranks->size() > 1 ? options.heartbeat_timeout : 0.0;
    job.emplace(std::move(options), *ranks, &*console, &signals);
    job->Run();
    job.reset();
    goodbye.reset();
    const EndDeadline deadline(patience, ranks->is_first(), ranks->rank_name(),
                               FailureDirectory(variables));
    ranks.reset();
    return 0;
  } catch (...) {
    if (console) console->Status("");
    Failure failure = DescribeFailure(std::current_exception());
    const bool saved = job && job->saved();
    if (signals.requested() && !saved && IsTrouble(failure.code))
      failure.code = ExitCode::kNotSaved;
    const bool said = signals.another_speaks() && failure.text == StopSignals::kNothingToSave;
    if (ranks && LostARank(std::current_exception())) ranks->LetHeartbeatSpeak();
    if (ranks) NameTheRank(*ranks, &failure);
    WriteFailureFile(FailureDirectory(variables), failure.text);
    if (rank_log) rank_log->End("lockstep: " + failure.text);
    ranks ? TellRanks(*ranks, signals, &failure) : LetTheFirstSay(signals, &failure);
    if (said) failure.text.clear();
    throw Error(failure.code, failure.text);
  }
}

}  // namespace lockstep::tools
