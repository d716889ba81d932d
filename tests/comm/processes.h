// Ranks as real processes, forked by a test.
#ifndef LOCKSTEP_TESTS_COMM_PROCESSES_H_
#define LOCKSTEP_TESTS_COMM_PROCESSES_H_

#include <functional>
#include <vector>

#include "comm/shm/shm_communicator.h"

namespace lockstep::testing {

// Runs fn(rank, exchange) in `size` children and returns their wait statuses, by rank: 0 where no
// expectation failed and nothing was thrown. A child that takes longer than 60 s, or outlives this
// process, is killed.
std::vector<int> RunProcesses(
    int size, const std::function<void(int rank, const ExchangeBytes& exchange)>& fn);

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_COMM_PROCESSES_H_
