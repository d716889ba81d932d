// Brings memory that the next step needs nearer while the products of the current one run.
#ifndef LOCKSTEP_KERNELS_CPU_WINOGRAD_PREFETCH_H_
#define LOCKSTEP_KERNELS_CPU_WINOGRAD_PREFETCH_H_

#include <cstdint>

#include "kernels/cpu/winograd/isa.h"

namespace lockstep::cpu::winograd {

// Runs of memory, fetched in `steps` equal portions; nothing after the last. Allocates nothing: it
// is made inside parallel loops.
class Prefetch {
 public:
  explicit Prefetch(int64_t steps) : steps_(steps) {}

  // The pixels under the job's tiles of `tile` rows, for all channels of the picture.
  static Prefetch Pixels(const TileJob& job, int64_t tile, int64_t steps);

  void Step();

 private:
  const char* Run(int64_t index) const;

  int64_t steps_;
  int64_t step_ = 0;
  // A run: the pixels of one row of tiles in one block of channels.
  Picture picture_{};
  int64_t first_row_ = 0, tile_rows_ = 0;  // rows of tiles, counted over all images; of one image
  int64_t tile_floats_ = 0;                // of a run
  int64_t lines_per_run_ = 0;
  int64_t blocks_ = 0, runs_ = 0;
};

}  // namespace lockstep::cpu::winograd

#endif  // LOCKSTEP_KERNELS_CPU_WINOGRAD_PREFETCH_H_
