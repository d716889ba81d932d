// Fork-join loops on the process's one pool of kernel threads.
#ifndef LOCKSTEP_KERNELS_CPU_PARALLEL_H_
#define LOCKSTEP_KERNELS_CPU_PARALLEL_H_

#include <cstdint>
#include <type_traits>

namespace lockstep::cpu {

// Threads the calling thread's next Parallel* uses; set by the backend that runs. Thread-local: a
// lane that runs on one thread of its own sets 1.
void SetThreads(int threads);
int GetThreads();

namespace internal {
void Run(int threads, void (*body)(void* closure, int thread, int threads), void* closure);
}

// body(thread, threads) on each of GetThreads() threads; the caller is thread 0. Exceptions must
// not leave `body`.
template <typename Body>
void ParallelThreads(Body&& body) {
  const int threads = GetThreads();
  if (threads <= 1) {
    body(0, 1);
    return;
  }
  using B = std::remove_reference_t<Body>;
  internal::Run(
      threads, [](void* closure, int t, int n) { (*static_cast<B*>(closure))(t, n); },
      const_cast<void*>(static_cast<const void*>(&body)));
}

// body(begin, end) over contiguous parts of [0, size), none smaller than `grain` unless the whole
// is: small work stays on the calling thread.
template <typename Body>
void ParallelFor(int64_t size, int64_t grain, Body&& body) {
  if (size <= 0) return;
  const int64_t parts_wanted = grain > 0 ? size / grain : size;
  if (parts_wanted <= 1 || GetThreads() <= 1) {
    body(int64_t{0}, size);
    return;
  }
  ParallelThreads([&](int thread, int threads) {
    const int64_t parts = parts_wanted < threads ? parts_wanted : threads;
    if (thread >= parts) return;
    const int64_t begin = size * thread / parts;
    const int64_t end = size * (thread + 1) / parts;
    if (begin < end) body(begin, end);
  });
}

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_PARALLEL_H_
