// Brings memory that the next step needs nearer while the products of the current one run.
#ifndef LOCKSTEP_KERNELS_CPU_WINOGRAD_PREFETCH_H_
#define LOCKSTEP_KERNELS_CPU_WINOGRAD_PREFETCH_H_

#include <cstdint>
#include <vector>

#include "kernels/cpu/winograd/isa.h"

namespace lockstep::cpu::winograd {

// Rows of memory, fetched in `steps` equal portions; nothing after the last.
class Prefetch {
 public:
  explicit Prefetch(int64_t steps) : steps_(steps) {}

  // The pixels under the job's tiles of `tile` rows, for all channels of the picture.
  static Prefetch Pixels(const TileJob& job, int64_t tile, int64_t steps);

  void Step();

 private:
  int64_t steps_;
  int64_t step_ = 0;
  int64_t lines_per_row_ = 0;
  std::vector<const char*> rows_;
};

}  // namespace lockstep::cpu::winograd

#endif  // LOCKSTEP_KERNELS_CPU_WINOGRAD_PREFETCH_H_
