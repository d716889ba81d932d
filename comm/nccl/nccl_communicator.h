// Sums in the memory of GPUs by NCCL. Where CMake found no CUDA or no header of NCCL, no_nccl.cc
// stands in for the others here.
#ifndef LOCKSTEP_COMM_NCCL_NCCL_COMMUNICATOR_H_
#define LOCKSTEP_COMM_NCCL_NCCL_COMMUNICATOR_H_

#include <cstdint>
#include <memory>

#include "comm/communicator.h"
#include "comm/nccl/gpu_place.h"

namespace lockstep {

// Whether this build can use it; the library is looked for when it is needed.
bool HasNccl();

// Which GPU `device` is, where this process can use NCCL with it. Throws DeviceError (71) naming
// the library and where it was looked for when it is missing, or its version when that does not
// fit; ConfigError (64) where the build has no NCCL or the device is no GPU.
GpuPlace PlaceForNccl(const Backend& device);

enum class NcclRanks : uint8_t {
  kAll,      // "nccl"
  kOfAHost,  // on several hosts "nccl+mpi": the first rank of each sums with those of the others
};

// The ranks of `ranks`, which must outlive it, with Allreduce of what lies on `device` as well: in
// place, on a stream beside that of the kernels. All else is what `ranks` does; parts of the group
// reach the host's memory only. Every rank calls it, with a GPU of its own (RequireOwnGpus), after
// PlaceForNccl has thrown nowhere. `device` may be gone when it is destroyed.
//
// On a GPU NCCL rounds halves in every addition, and which element is added when follows from how
// it connects the GPUs: the same on every rank, and from run to run on the same machines with the
// same library. Integers are exact. A rank that is lost or gives up ends the waits of the others
// with CommError; nothing can be summed any more then.
//
// A wait is the calling thread's, which asks NCCL and `ranks` for errors meanwhile: the
// communicating thread has nothing else to do, and knows the moment at which a sum was done.
std::unique_ptr<Communicator> MakeNcclCommunicator(Communicator& ranks, const Backend& device,
                                                   NcclRanks connected);

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_NCCL_NCCL_COMMUNICATOR_H_
