// Kernel: a convolution with max pooling by 2x2 behind it, whose output is never in memory.
#ifndef LOCKSTEP_KERNELS_POOLED_CONV_H_
#define LOCKSTEP_KERNELS_POOLED_CONV_H_

#include <cstddef>
#include <cstdint>

namespace lockstep {

// conv(x, weights) + bias, (n, k, out_h, out_w), is pooled by windows of 2x2 side by side to y,
// (n, k, out_h / 2, out_w / 2). x is plain; y and dy have the layout that the kernel was made for
// (ConvKernels::MakePooled). Values, and which pixel of a window counts, are as those of ConvKernel
// and PoolKernels but for the order of sums. As ConvKernel: prepared for one shape, not
// thread-safe, and results do not depend on earlier calls or on the number of threads.
class PooledConvKernel {
 public:
  virtual ~PooledConvKernel() = default;
  virtual size_t scratch_bytes() const = 0;  // of either pass, 64-byte aligned

  // `weights` (k, c, kh, kw), `bias` (k,) or null. `argmax`: as many bytes as y has elements, in an
  // order of the kernel's own, for BackwardWeights; null where no backward pass follows.
  virtual void Forward(const void* x, const void* weights, const void* bias, void* y,
                       uint8_t* argmax, void* scratch) = 0;
  // dw (k, c, kh, kw), overwritten. `argmax` is what Forward wrote, and is not checked.
  virtual void BackwardWeights(const void* x, const void* dy, const uint8_t* argmax, void* dw,
                               void* scratch) = 0;
};

}  // namespace lockstep

#endif  // LOCKSTEP_KERNELS_POOLED_CONV_H_
