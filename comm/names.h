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

// Own names: "auto", "mpi", "shm". ChainerMN's are taken as well; gradients are flat in one piece
// of memory here, and what it chose for GPUs and networks by name follows from where ranks are:
//   naive, flat                          mpi
//   hierarchical, two_dimensional,
//   non_cuda_aware, pure_nccl            auto
//   single_node                          shm
//   dummy                                auto: nothing is packed here, so there is no cost of it to
//                                        measure without communication
// Throws ConfigError (64) naming the known ones.
Transport TransportOf(const std::string& name);

std::vector<std::string> TransportNames();

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_NAMES_H_
