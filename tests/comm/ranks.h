// Ranks that are threads of the test.
#ifndef LOCKSTEP_TESTS_COMM_RANKS_H_
#define LOCKSTEP_TESTS_COMM_RANKS_H_

#include <exception>
#include <thread>
#include <utility>
#include <vector>

#include "comm/thread/thread_communicator.h"

namespace lockstep::testing {

// run(Communicator&) on each of `size` ranks. A rank that throws gives up, as a process does that
// ends; then the first exception in the order of ranks is thrown here.
template <typename Run>
void OnRanks(int size, const Run& run) {
  std::vector<std::thread> threads;
  std::vector<std::exception_ptr> failures(static_cast<size_t>(size));
  for (auto& communicator : MakeThreadCommunicators(size)) {
    threads.emplace_back([&run, &failures, c = std::move(communicator)]() mutable {
      try {
        run(*c);
      } catch (const std::exception& error) {
        failures[static_cast<size_t>(c->rank())] = std::current_exception();
        c->Abort(error.what());
      }
      c.reset();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_COMM_RANKS_H_
