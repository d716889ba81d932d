// Kernel family: sums. Fixed chunks in fixed order: the same bits for any number of threads.
#ifndef LOCKSTEP_KERNELS_REDUCE_H_
#define LOCKSTEP_KERNELS_REDUCE_H_

#include <cstdint>

#include "kernels/dtype.h"
#include "kernels/elementwise.h"
#include "kernels/layout.h"

namespace lockstep {

// `dtype` is kFloat32 or kFloat64 unless said otherwise.
class ReduceKernels {
 public:
  virtual ~ReduceKernels() = default;

  // *sum += the sum of x[i]^2, in the device's memory.
  virtual void AddSquares(DType dtype, int64_t size, const void* x, double* sum) = 0;
  // y[c] = sum over n, h, w of x: the gradient of a bias. A matrix is a picture with h = w = 1.
  // `dtype` is any floating one and that of x; y has AccumulatorOf(dtype).
  virtual void ChannelSums(DType dtype, const PictureShape& shape, Layout layout, const void* x,
                           void* y) = 0;
  // The index of the first element that is not finite, or -1.
  virtual int64_t FirstNonFinite(DType dtype, int64_t size, const void* x) = 0;

  // Sums that do not depend on the order of their terms, in 64-bit fixed point.
  // The largest |x[i]|: 0 of none, infinity where one is not finite.
  virtual double LargestMagnitude(DType dtype, int64_t size, const void* x) = 0;
  // sums[i] = [sums[i] +] x[i] * scale, rounded to the nearest integer (ties to even). `scale` is a
  // power of two and |x[i] * scale| < 2^62; sums wrap.
  virtual void ToFixedPoint(DType dtype, int64_t size, const void* x, double scale, bool accumulate,
                            int64_t* sums) = 0;
  // y[i] = sums[i] * scale.
  virtual void FromFixedPoint(DType dtype, int64_t size, const int64_t* sums, double scale,
                              void* y) = 0;
};

}  // namespace lockstep

#endif  // LOCKSTEP_KERNELS_REDUCE_H_
