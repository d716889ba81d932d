#include "data/run_threads.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace lockstep {
namespace {

// The failure that a run on one thread would have met.
class FirstFailure {
 public:
  void Add(size_t job, std::exception_ptr error) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (job >= job_.load(std::memory_order_relaxed)) return;
    job_.store(job, std::memory_order_relaxed);
    error_ = std::move(error);
  }
  bool IsBefore(size_t job) const { return job_.load(std::memory_order_relaxed) < job; }
  void Throw() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::mutex mutex_;
  std::atomic<size_t> job_{SIZE_MAX};
  std::exception_ptr error_;
};

}  // namespace

int AvailableCores() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return std::max(CPU_COUNT(&set), 1);
}

void RunThreads(size_t count, int threads, const std::function<void(size_t)>& job) {
  std::atomic<size_t> next{0};
  FirstFailure failure;
  const auto work = [&] {
    for (size_t i = next++; i < count && !failure.IsBefore(i); i = next++) {
      try {
        job(i);
      } catch (...) {
        failure.Add(i, std::current_exception());
      }
    }
  };
  const size_t wanted = static_cast<size_t>(threads > 0 ? threads : AvailableCores());
  std::vector<std::thread> others;
  try {
    others.reserve(std::min(wanted, count));
    for (size_t t = 1; t < std::min(wanted, count); ++t) others.emplace_back(work);
  } catch (...) {
    // No more threads or memory to be had: those that run do the work.
  }
  work();
  for (std::thread& thread : others) thread.join();
  failure.Throw();
}

}  // namespace lockstep
