// A training job that starts its own processes.
#ifndef LOCKSTEP_TOOLS_LAUNCH_H_
#define LOCKSTEP_TOOLS_LAUNCH_H_

#include <chrono>
#include <span>
#include <string>
#include <string_view>

#include "tools/signals.h"

namespace lockstep::tools {

// So begins what the first process says when a signal has stopped the job and all is saved.
inline constexpr std::string_view kStoppedBy = "stopped by ";

// Whether LaunchRanks() has started this process.
bool StartedByLaunchRanks();

// Runs `lockstep train` with the same arguments in `ranks` processes of this host, by mpirun with
// `mpi_options` behind its own, and returns the exit code of the job. A signal that asks this
// process to stop reaches all of them as SIGUSR1, which mpirun passes on and outlives: they have
// `grace` to save in, where a SIGTERM to mpirun itself leaves them one second, and its exit code
// says nothing of whether that was enough. That they had nothing to save yet, or too little time,
// this process says for all of them. When it dies, so do they. Throws ConfigError (78) where there
// is no mpirun.
int LaunchRanks(int ranks, std::span<const std::string> mpi_options,
                std::span<const std::string> arguments, std::chrono::seconds grace,
                const StopSignals& signals);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_LAUNCH_H_
