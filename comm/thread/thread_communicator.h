// Ranks that are threads of one process: for tests, and for jobs that want no processes.
#ifndef LOCKSTEP_COMM_THREAD_THREAD_COMMUNICATOR_H_
#define LOCKSTEP_COMM_THREAD_THREAD_COMMUNICATOR_H_

#include <memory>
#include <vector>

#include "comm/communicator.h"

namespace lockstep {

// One for each rank, in their order. Each is used, and destroyed, by the thread that is this rank.
std::vector<std::unique_ptr<Communicator>> MakeThreadCommunicators(int size);

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_THREAD_THREAD_COMMUNICATOR_H_
