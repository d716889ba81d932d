// For builds without NCCL: whoever asks for it is told.
#include "comm/nccl/nccl_communicator.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

[[noreturn]] void Refuse() {
  throw ConfigError(
      "this build has no NCCL; build it where CMake finds CUDA and nccl.h, or use --communicator "
      "naive");
}

}  // namespace

bool HasNccl() { return false; }
GpuPlace PlaceForNccl(const Backend&) { Refuse(); }
std::unique_ptr<Communicator> MakeNcclCommunicator(Communicator&, const Backend&, NcclRanks) {
  Refuse();
}

}  // namespace lockstep
