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
// `whole` is let go of. All ranks call it together.
std::unique_ptr<Communicator> MakeLayered(std::unique_ptr<Communicator> whole,
                                          const std::string& host, int world_rank);

// The first rank of `whole` that gives the same `host` as this one. All ranks call it together.
int FirstRankOfHost(Communicator& whole, const std::string& host);

// What ranks that can share memory have in common: the machine since it was started, its name, the
// namespaces of processes and networks, and the user.
std::string HostKey();

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_LAYERED_H_
