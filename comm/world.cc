#include "comm/world.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "comm/hosts.h"
#include "comm/layered.h"
#include "comm/mpi/mpi_world.h"
#include "comm/self_communicator.h"
#include "kernels/cpu/cores.h"
#include "kernels/cpu/crowd.h"
#include "kernels/error.h"

namespace lockstep {

namespace {

// The first of these variables that is set, as a number.
int FromLauncher(std::initializer_list<const char*> names, int otherwise) {
  for (const char* name : names) {
    if (const char* const value = std::getenv(name)) return std::atoi(value);
  }
  return otherwise;
}

}  // namespace

int LaunchedRanks() {
  return std::max(FromLauncher({"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}, 1), 1);
}

int LaunchedRank() {
  if (LaunchedRanks() == 1) return 0;
  return std::max(FromLauncher({"OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"}, 0), 0);
}

int LaunchedLocalRanks() {
  if (LaunchedRanks() == 1) return 1;
  return std::max(
      FromLauncher({"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "SLURM_TASKS_PER_NODE"}, 1),
      1);
}

int LaunchedLocalRank() {
  if (LaunchedRanks() == 1) return 0;
  return std::max(
      FromLauncher({"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"}, 0), 0);
}

namespace {

// What a rank was started as.
struct Start {
  Transport transport = Transport::kAuto;
  int32_t rank = 0;
  int32_t size = 0;
};

// What the launcher's variables say is what MPI says: who prints and writes goes by the former,
// before there is the latter.
void RequireOwnVariables(const std::vector<Start>& all) {
  for (size_t rank = 0; rank < all.size(); ++rank) {
    const Start& start = all[rank];
    if (std::cmp_equal(start.rank, rank) && std::cmp_equal(start.size, all.size())) continue;
    throw CommError("rank " + std::to_string(rank) + " of " + std::to_string(all.size()) +
                        " is told by the launcher's variables to be rank " +
                        std::to_string(start.rank) + " of " + std::to_string(start.size) +
                        "; let mpirun set OMPI_COMM_WORLD_RANK and OMPI_COMM_WORLD_SIZE",
                    ExitCode::kBadCluster);
  }
}

// Else they would wait for each other in different places.
void RequireSameStart(Communicator& ranks, Transport transport) {
  const Start mine{.transport = transport, .rank = LaunchedRank(), .size = LaunchedRanks()};
  std::vector<Start> all(static_cast<size_t>(ranks.size()));
  ranks.Allgather(&mine, sizeof mine, all.data());
  RequireOwnVariables(all);
  for (size_t rank = 1; rank < all.size(); ++rank) {
    if (all[rank].transport == all[0].transport) continue;
    throw CommError("ranks 0 and " + std::to_string(rank) +
                        " ask for different communicators; start all with the same",
                    ExitCode::kDisagree);
  }
}

// Which processors this process may run on, of which host.
std::string PlaceOfProcess() { return HostKey() + " " + cpu::AffinityMask(); }

// A launcher may give each rank processors of its own, or all the same ones.
int RanksOfTheseProcessors(Communicator& ranks) {
  return static_cast<int>(RanksOfHost(ranks, PlaceOfProcess()).size());
}

}  // namespace

std::unique_ptr<Communicator> MakeWorld(const WorldOptions& options) {
  if (LaunchedRanks() == 1) return MakeSelfCommunicator();
  std::string host = HostKey();
  if (options.ranks_per_host > 0) {
    host += " " + std::to_string(LaunchedRank() / options.ranks_per_host);
  }
  std::unique_ptr<Communicator> mpi = MakeMpiWorld(host);
  if (mpi->size() == 1) {
    throw CommError(
        "the launcher started " + std::to_string(LaunchedRanks()) +
            " ranks, but MPI knows one; start them with the mpirun of the MPI that this "
            "was built with",
        ExitCode::kBadCluster);
  }
  RequireSameStart(*mpi, options.transport);
  cpu::ShareCores(RanksOfTheseProcessors(*mpi));
  if (options.transport == Transport::kMpi) return mpi;
  const int rank = mpi->rank();
  std::unique_ptr<Communicator> world = MakeLayered(std::move(mpi), host, rank);
  if (options.transport == Transport::kShm && world->name() != "shm") {
    throw CommError(
        "a communicator of one host (shm, single_node) was asked for, but the ranks are "
        "on several; ask for auto",
        ExitCode::kBadCluster);
  }
  return world;
}

}  // namespace lockstep
