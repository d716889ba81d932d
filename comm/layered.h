// Shared memory inside hosts, something slower between them.
#ifndef LOCKSTEP_COMM_LAYERED_H_
#define LOCKSTEP_COMM_LAYERED_H_

#include <memory>
#include <string>

#include "comm/communicator.h"

namespace lockstep {

// Ranks of `whole` that give the same `host` sum in shared memory, the first rank of each host then
// sums with those of the others, and hands the result to its host ("shm+mpi"). Halves are rounded
// once a host and once more between them. When all give the same host the result is "shm", and
// `whole` is let go of. All ranks call it together. HostKey() of comm/hosts.h is a `host`.
std::unique_ptr<Communicator> MakeLayered(std::unique_ptr<Communicator> whole,
                                          const std::string& host, int world_rank);

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_LAYERED_H_
