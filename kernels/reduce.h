// Kernel family: sums. Fixed chunks in fixed order: the same bits for any number of threads.
#ifndef LOCKSTEP_KERNELS_REDUCE_H_
#define LOCKSTEP_KERNELS_REDUCE_H_

#include <cstdint>

#include "kernels/dtype.h"
#include "kernels/elementwise.h"
#include "kernels/layout.h"

namespace lockstep {

class ReduceKernels {
 public:
  virtual ~ReduceKernels() = default;

  virtual double SumOfSquares(DType dtype, int64_t size, const void* x) = 0;
  // y[c] = sum over n, h, w of x: the gradient of a bias. A matrix is a picture with h = w = 1.
  virtual void ChannelSums(DType dtype, const PictureShape& shape, Layout layout, const void* x,
                           void* y) = 0;
  // The index of the first element that is not finite, or -1.
  virtual int64_t FirstNonFinite(DType dtype, int64_t size, const void* x) = 0;
};

}  // namespace lockstep

#endif  // LOCKSTEP_KERNELS_REDUCE_H_
