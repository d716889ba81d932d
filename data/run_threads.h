// Independent jobs of loading and saving on a few threads of their own.
#ifndef LOCKSTEP_DATA_RUN_THREADS_H_
#define LOCKSTEP_DATA_RUN_THREADS_H_

#include <cstddef>
#include <functional>

namespace lockstep {

// Cores this process may run on.
int AvailableCores();

// job(0) ... job(count - 1), handed out in this order to at most `threads` threads (0: one a
// core), the caller among them. All are waited for; then the exception of the lowest job that
// threw is thrown, whatever the number of threads.
void RunThreads(size_t count, int threads, const std::function<void(size_t)>& job);

}  // namespace lockstep

#endif  // LOCKSTEP_DATA_RUN_THREADS_H_
