// The same loops on std::thread, for ThreadSanitizer: it does not understand libgomp's barriers,
// but with this it checks how our kernels share their work. oneDNN stays on one thread.
#include <thread>
#include <vector>

#include "kernels/cpu/parallel.h"

extern "C" void omp_set_num_threads(int);

namespace lockstep::cpu {
namespace {

thread_local int current_threads = 1;

}  // namespace

void SetThreads(int threads) {
  current_threads = threads < 1 ? 1 : threads;
  omp_set_num_threads(1);
}

int GetThreads() { return current_threads; }

namespace internal {

void Run(int threads, void (*body)(void*, int, int), void* closure) {
  std::vector<std::thread> others;
  for (int t = 1; t < threads; ++t) others.emplace_back(body, closure, t, threads);
  body(closure, 0, threads);
  for (std::thread& other : others) other.join();
}

}  // namespace internal
}  // namespace lockstep::cpu
