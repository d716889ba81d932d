// The ranks of a job.
#ifndef LOCKSTEP_COMM_WORLD_H_
#define LOCKSTEP_COMM_WORLD_H_

#include <memory>

#include "comm/communicator.h"
#include "comm/names.h"

namespace lockstep {

struct WorldOptions {
  Transport transport = Transport::kAuto;
  // Above 0: this many neighbouring ranks are taken for a host, wherever they run, by MPI as well.
  // For tests.
  int ranks_per_host = 0;
};

// How many processes the launcher (mpirun, srun) says that it started; 1 without one.
int LaunchedRanks();
// Which of them it says that this one is; 0 without one.
int LaunchedRank();
// The same among those of this host.
int LaunchedLocalRanks();
int LaunchedLocalRank();

// Self for one rank, and for that MPI is not even started; else by the options. Where all ranks
// share memory MPI only brings them together and is finalised at once. Once in a process of a job
// of several ranks. Throws CommError (78) when the build has no MPI for ranks that were launched,
// when these have variables of another rank, or when shared memory is wanted for several hosts.
// Kernel threads know from then on how many ranks run on the same cores, and backends made later
// take their share of these (kernels/cpu/crowd.h).
std::unique_ptr<Communicator> MakeWorld(const WorldOptions& options = {});

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_WORLD_H_
