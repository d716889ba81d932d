// Ranks that are processes of one host and share memory.
#ifndef LOCKSTEP_COMM_SHM_SHM_COMMUNICATOR_H_
#define LOCKSTEP_COMM_SHM_SHM_COMMUNICATOR_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"

namespace lockstep {

// Every rank gives some bytes and gets everybody's, in the order of the ranks: whatever the ranks
// already have to reach each other.
using ExchangeBytes = std::function<std::vector<std::string>(const std::string& mine)>;

struct ShmRank {
  int rank = 0;
  int size = 1;
  int world_rank = 0;  // how messages name this rank
};

// All ranks call it together. They run on one host, in one process namespace and for one user.
std::unique_ptr<Communicator> MakeShmCommunicator(ShmRank who, const ExchangeBytes& exchange);

// The same for the ranks of a communicator that can do without shared memory; `world_rank` as
// above. It is not needed afterwards.
std::unique_ptr<Communicator> MakeShmCommunicator(Communicator& group, int world_rank);

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_SHM_SHM_COMMUNICATOR_H_
