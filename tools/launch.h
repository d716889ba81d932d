// A training job that starts its own processes.
#ifndef LOCKSTEP_TOOLS_LAUNCH_H_
#define LOCKSTEP_TOOLS_LAUNCH_H_

#include <span>
#include <string>

#include "tools/signals.h"

namespace lockstep::tools {

// Whether LaunchRanks() has started this process.
bool StartedByLaunchRanks();

// Runs `lockstep train` with the same arguments in `ranks` processes of this host, by mpirun with
// `mpi_options` behind its own, and returns the exit code of the job. A signal that asks this
// process to stop reaches all of them as SIGUSR1, which mpirun passes on and outlives: they have as
// long to save as this process has, where a SIGTERM to mpirun itself leaves them one second and
// makes its exit code 1. When this process dies, so do they. That they were stopped before there
// was anything to save this process says, for all of them. Throws ConfigError (78) where there is
// no mpirun.
int LaunchRanks(int ranks, std::span<const std::string> mpi_options,
                std::span<const std::string> arguments, const StopSignals& signals);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_LAUNCH_H_
