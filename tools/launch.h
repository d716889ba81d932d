// A training job that starts its own processes.
#ifndef LOCKSTEP_TOOLS_LAUNCH_H_
#define LOCKSTEP_TOOLS_LAUNCH_H_

#include <chrono>
#include <span>
#include <string>

#include "tools/signals.h"

namespace lockstep::tools {

// Whether LaunchRanks() has started this process.
bool StartedByLaunchRanks();

// Runs `lockstep train` with the same arguments in `ranks` processes of this host, by mpirun with
// `mpi_options` behind its own, and returns the exit code of the job. A signal that asks this
// process to stop reaches all of them as SIGUSR1, which mpirun passes on and outlives: they have
// `grace` to save in, where a SIGTERM to mpirun itself leaves them one second and makes its exit
// code 1. That they had nothing to save yet, or too little time, this process says for all of them.
// When it dies, so do they. Throws ConfigError (78) where there is no mpirun.
int LaunchRanks(int ranks, std::span<const std::string> mpi_options,
                std::span<const std::string> arguments, std::chrono::seconds grace,
                const StopSignals& signals);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_LAUNCH_H_
