// Kernel family: maps over elements and layout changes.
#ifndef LOCKSTEP_KERNELS_ELEMENTWISE_H_
#define LOCKSTEP_KERNELS_ELEMENTWISE_H_

#include <cstddef>
#include <cstdint>

#include "kernels/dtype.h"
#include "kernels/layout.h"

namespace lockstep {

enum class Activation : uint8_t { kIdentity, kRelu, kLeakyRelu, kSigmoid, kTanh };

// Extents of a picture batch, for kernels that must know where its channels lie.
struct PictureShape {
  int64_t n = 0, c = 0, h = 0, w = 0;
};

// All pointers are to elements of `dtype` (any floating one), aligned as those are: a network's
// inputs lie where the caller has them. An output may be the same buffer as an input of the same
// size; partial overlap is not allowed.
class ElementwiseKernels {
 public:
  virtual ~ElementwiseKernels() = default;

  // y = f(x); `slope` is the factor for x < 0 of kLeakyRelu.
  virtual void ActivationForward(DType dtype, Activation f, double slope, int64_t size,
                                 const void* x, void* y) = 0;
  // dx = dy * f'(x), written in terms of y = f(x). For kLeakyRelu slope must be >= 0.
  virtual void ActivationBackward(DType dtype, Activation f, double slope, int64_t size,
                                  const void* y, const void* dy, void* dx) = 0;
  // y = a + b.
  virtual void Add(DType dtype, int64_t size, const void* a, const void* b, void* y) = 0;
  // y = scale * x.
  virtual void Scale(DType dtype, double scale, int64_t size, const void* x, void* y) = 0;
  // y = *scale * x with a number in the device's memory; kFloat32 or kFloat64.
  virtual void ScaleBy(DType dtype, const double* scale, int64_t size, const void* x, void* y) = 0;
  // y = x, rounded to the nearest value of `to`, ties to even. Two of kFloat32, kFloat16 and
  // kBfloat16, one of them kFloat32; x and y must differ.
  virtual void Cast(DType from, DType to, int64_t size, const void* x, void* y) = 0;
  // y = x + residual, rounded as by Cast; residual = what that lost, or 0 where it is no finite
  // number. x and residual are kFloat32, y is kFloat16 or kBfloat16.
  virtual void CastWithFeedback(DType to, int64_t size, const void* x, void* residual, void* y) = 0;
  // to = from where *condition is not 0; else nothing is written. Bytes of anything, a multiple
  // of 8.
  virtual void CopyIf(const int64_t* condition, size_t bytes, const void* from, void* to) = 0;
  // Same values, other layout. x and y must differ.
  virtual void Reorder(DType dtype, const PictureShape& shape, Layout from, Layout to,
                       const void* x, void* y) = 0;
  // Copies `channels` channels of a picture batch between two pictures, for concatenation along
  // the channel axis: y[:, y_offset + i] = x[:, x_offset + i]. Layouts may differ.
  virtual void CopyChannels(DType dtype, const PictureShape& x_shape, Layout x_layout,
                            int64_t x_offset, const void* x, const PictureShape& y_shape,
                            Layout y_layout, int64_t y_offset, int64_t channels, void* y) = 0;
};

}  // namespace lockstep

#endif  // LOCKSTEP_KERNELS_ELEMENTWISE_H_
