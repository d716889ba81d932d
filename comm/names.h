// What users call the ways in which ranks exchange buffers.
#ifndef LOCKSTEP_COMM_NAMES_H_
#define LOCKSTEP_COMM_NAMES_H_

#include <cstdint>
#include <string>
#include <vector>

namespace lockstep {

enum class Transport : uint8_t {
  kAuto,  // shared memory inside a host, MPI between hosts
  kMpi,   // MPI everywhere
  kShm,   // shared memory; more than one host is refused
};

// How sums of what lies in the memory of GPUs travel.
enum class GpuTransport : uint8_t {
  kHost,         // through the host's memory, by the transport above
  kAuto,         // NCCL where all ranks can use it, else through the host's memory
  kNccl,         // NCCL between all ranks, or an error
  kNcclInHosts,  // NCCL inside a host, the transport above between hosts, or an error
};

// Own names: "auto", "mpi", "shm". ChainerMN's are taken as well; gradients are flat in one piece
// of memory here, and what it chose for networks by name follows from where ranks are. What lies on
// GPUs travels as in the last column; on the CPU it is nobody's concern.
//   auto                                 auto  kAuto
//   mpi, naive, flat                     mpi   kHost
//   shm                                  shm   kHost
//   non_cuda_aware                       auto  kHost
//   pure_nccl                            auto  kNccl
//   hierarchical, two_dimensional        auto  kNcclInHosts
//   single_node                          shm   kNccl
//   dummy                                auto  kAuto: nothing is packed here, so there is no cost
//                                              of it to measure without communication
// Throws ConfigError (64) naming the known ones.
Transport TransportOf(const std::string& name);
GpuTransport GpuTransportOf(const std::string& name);

std::vector<std::string> TransportNames();

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_NAMES_H_
