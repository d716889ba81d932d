// Kernel family: pooling over windows of a picture.
#ifndef LOCKSTEP_KERNELS_POOL_H_
#define LOCKSTEP_KERNELS_POOL_H_

#include <cstdint>

#include "kernels/dtype.h"
#include "kernels/elementwise.h"
#include "kernels/layout.h"

namespace lockstep {

enum class PoolKind : uint8_t { kMax, kAverage };

struct PoolShape {
  PictureShape x;
  int64_t out_h = 0, out_w = 0;
  int64_t kh = 1, kw = 1, stride_h = 1, stride_w = 1, pad_h = 0, pad_w = 0;
  PoolKind kind = PoolKind::kMax;
  // kAverage: divide by kh * kw even where the window leaves the picture (Chainer's
  // average_pooling_2d, MXNet's default) or by the number of values inside it.
  bool count_include_pad = true;
  Layout layout;                  // of x and y
  DType dtype = DType::kFloat32;  // any floating one

  // Output extent for one axis. `cover_all` is Chainer's round-up (every input is covered; its
  // max_pooling_2d default), otherwise the window must lie inside the padded input.
  static int64_t Out(int64_t size, int64_t kernel, int64_t stride, int64_t pad, bool cover_all) {
    return cover_all ? (size + 2 * pad - kernel + stride - 1) / stride + 1
                     : (size + 2 * pad - kernel) / stride + 1;
  }
  // Whether each window holds a pixel: those that rounding up adds may lie in padding as a whole.
  bool windows_hold_pixels() const {
    return (out_h - 1) * stride_h - pad_h < x.h && (out_w - 1) * stride_w - pad_w < x.w;
  }
};

class PoolKernels {
 public:
  virtual ~PoolKernels() = default;
  // Padding never wins a maximum and adds nothing to an average.
  virtual void Forward(const PoolShape& shape, const void* x, void* y) = 0;
  // dx overwritten. For kMax the first maximum of a window, in row-major order, gets its gradient
  // (found again from x and y); y is unused by kAverage.
  virtual void Backward(const PoolShape& shape, const void* x, const void* y, const void* dy,
                        void* dx) = 0;
};

}  // namespace lockstep

#endif  // LOCKSTEP_KERNELS_POOL_H_
