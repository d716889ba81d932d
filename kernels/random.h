// Kernel family: counter-based random numbers (kernels/math/philox.h). Nothing here has state.
#ifndef LOCKSTEP_KERNELS_RANDOM_H_
#define LOCKSTEP_KERNELS_RANDOM_H_

#include <cstdint>

#include "kernels/dtype.h"
#include "kernels/elementwise.h"
#include "kernels/layout.h"

namespace lockstep {

// Which random numbers a dropout draws: a function of these alone, never of threads, layout,
// position in a batch or number of ranks.
struct DropoutArgs {
  double ratio = 0.0;  // probability of a zero; kept values are scaled by 1 / (1 - ratio)
  uint64_t key = 0;    // RandomKey(seed, node, use)
  // In the device's memory, so that a recorded step can be run again on other numbers.
  const uint32_t* epoch = nullptr;      // (1,)
  const int64_t* sample_ids = nullptr;  // (n,): the global id of each row's sample
};

class RandomKernels {
 public:
  virtual ~RandomKernels() = default;

  // Inverted dropout. `dtype` is any floating one. Element e = (h * W + w) * C + c of sample s is
  // kept when Philox(key, {e / 4, s, epoch})[e % 4] >= ratio * 2^32. y may be x.
  virtual void DropoutForward(DType dtype, const PictureShape& shape, Layout layout,
                              const DropoutArgs& args, const void* x, void* y) = 0;
  // dx = mask * dy / (1 - ratio); the same numbers are drawn again.
  virtual void DropoutBackward(DType dtype, const PictureShape& shape, Layout layout,
                               const DropoutArgs& args, const void* dy, void* dx) = 0;
  // `dtype` is kFloat32 or kFloat64 here and below.
  // x[i] = mean + stddev * N(0, 1), element i from counter i / 4 (Box-Muller on its four words).
  virtual void FillNormal(DType dtype, uint64_t key, double mean, double stddev, int64_t size,
                          void* x) = 0;
  // x[i] uniform in [low, high).
  virtual void FillUniform(DType dtype, uint64_t key, double low, double high, int64_t size,
                           void* x) = 0;
};

}  // namespace lockstep

#endif  // LOCKSTEP_KERNELS_RANDOM_H_
