// For builds without MPI: whoever asks for it is told.
#include "comm/mpi/mpi_world.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

[[noreturn]] void Refuse() {
  throw CommError(
      "this build has no MPI; install libopenmpi-dev and openmpi-bin, build again, or run one rank",
      ExitCode::kBadCluster);
}

}  // namespace

bool HasMpi() { return false; }
std::unique_ptr<Communicator> MakeMpiWorld(const std::string&) { Refuse(); }
void PlainMpiAllreduce(float*, int64_t) { Refuse(); }

}  // namespace lockstep
