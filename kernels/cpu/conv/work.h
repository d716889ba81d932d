// How convolutions spread pictures over threads.
#ifndef LOCKSTEP_KERNELS_CPU_CONV_WORK_H_
#define LOCKSTEP_KERNELS_CPU_CONV_WORK_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/cpu/parallel.h"

namespace lockstep::cpu {

// Of counts, which are not negative.
inline int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t RoundUp(int64_t a, int64_t b) { return CeilDiv(a, b) * b; }

// Weight gradients are summed in parts, each over some of the pictures: up to 8, fewer when that
// would take more than 16 MB; not the number of threads, which bits must not depend on.
inline int64_t SumParts(int64_t tasks, size_t part_bytes) {
  constexpr int64_t kBytes = 16 << 20;
  const int64_t fit = kBytes / static_cast<int64_t>(part_bytes);
  return std::min(tasks, std::clamp<int64_t>(fit, 2, 8));
}

// Threads that are to work on `tasks` tasks, as of now; each has a slot of scratch of its own. A
// kernel that is run with more threads later goes on with these.
inline int64_t MaxSlots(int64_t tasks) { return std::min<int64_t>(tasks, GetThreads()); }

// body(task, slot) for every task, in order within a thread; slots are `slot_size` elements.
template <typename T, typename Body>
void ForEachOnSlots(int64_t tasks, T* scratch, int64_t slots, int64_t slot_size, Body&& body) {
  ParallelThreads([&](int thread, int threads) {
    const int64_t workers = std::min<int64_t>(threads, slots);
    if (thread >= workers) return;
    for (int64_t i = tasks * thread / workers; i < tasks * (thread + 1) / workers; ++i) {
      body(i, scratch + thread * slot_size);
    }
  });
}

// out[i] = parts[0][i] + parts[1][i] + ...; the parts lie one after the other.
template <typename T>
void AddParts(const T* parts, int64_t count, int64_t size, T* out) {
  ParallelFor(size, 16 * 1024, [&](int64_t begin, int64_t end) {
    std::copy(parts + begin, parts + end, out + begin);
    for (int64_t part = 1; part < count; ++part) {
      const T* sums = parts + part * size;
      for (int64_t i = begin; i < end; ++i) out[i] += sums[i];
    }
  });
}

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_CONV_WORK_H_
