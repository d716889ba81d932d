// Kernel family: 2-D convolution (cross-correlation, as every deep-learning library means it).
#ifndef LOCKSTEP_KERNELS_CONV_H_
#define LOCKSTEP_KERNELS_CONV_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/dtype.h"
#include "kernels/elementwise.h"
#include "kernels/layout.h"
#include "kernels/pooled_conv.h"

namespace lockstep {

// x (n, c, h, w) * w (k, c / groups, kh, kw) -> y (n, k, out_h, out_w).
struct ConvShape {
  int64_t n = 0, c = 0, h = 0, w = 0, k = 0;
  int64_t kh = 1, kw = 1;
  int64_t stride_h = 1, stride_w = 1;
  int64_t pad_h = 0, pad_w = 0;  // the same on both sides
  int64_t dilation_h = 1, dilation_w = 1;
  int64_t groups = 1;
  DType dtype = DType::kFloat32;  // any floating one
  // Of so many elements of dy one can be other than zero, as behind max pooling: a hint, which
  // decides only what is fast.
  int64_t dy_sparsity = 1;

  int64_t out_h() const { return (h + 2 * pad_h - dilation_h * (kh - 1) - 1) / stride_h + 1; }
  int64_t out_w() const { return (w + 2 * pad_w - dilation_w * (kw - 1) - 1) / stride_w + 1; }
  // Multiplications and additions of the direct algorithm, for one pass.
  double flops() const {
    return 2.0 * static_cast<double>(n * k * out_h() * out_w()) *
           (static_cast<double>(c) / static_cast<double>(groups) * static_cast<double>(kh * kw));
  }
  friend bool operator==(const ConvShape&, const ConvShape&) = default;
};

enum class ConvPass { kForward, kBackwardData, kBackwardWeights };

// Names as in the formulas above. A pass reads two of x, w, y and writes the third; in the backward
// passes x, w, y stand for the gradients where the pass computes or consumes those:
//   kForward          x, weights        -> y    (y = activation(conv + bias))
//   kBackwardData     y (dy), weights   -> x    (dx, overwritten)
//   kBackwardWeights  x, y (dy)         -> w    (dw, overwritten, plain (k, c / groups, kh, kw))
struct ConvBuffers {
  void* x = nullptr;
  void* y = nullptr;
  const void* weights = nullptr;  // what PrepareWeights wrote; unused by kBackwardWeights
  void* dw = nullptr;             // kBackwardWeights only; of AccumulatorOf(dtype)
  const void* bias = nullptr;     // (k,) or null; kForward only
  // kIdentity or kRelu, which lets NaN pass; kForward only.
  Activation activation = Activation::kIdentity;
  void* scratch = nullptr;  // scratch_bytes(), 64-byte aligned
};

// One pass of one convolution, prepared for one shape and one pair of layouts. Not thread-safe;
// uses the backend's threads inside. Results do not depend on earlier calls.
class ConvKernel {
 public:
  virtual ~ConvKernel() = default;
  virtual size_t scratch_bytes() const = 0;
  // Size of the kernel's own copy of the weights (blocked, or Winograd-transformed); 0 when Run
  // reads the plain master weights, which then are passed as ConvBuffers::weights.
  virtual size_t prepared_bytes() const = 0;
  // From plain (k, c / groups, kh, kw) to the kernel's own copy. To be called again whenever the
  // master weights changed. Must not be called when prepared_bytes() is 0.
  virtual void PrepareWeights(const void* weights, void* prepared) = 0;
  virtual void Run(const ConvBuffers& buffers) = 0;
};

// Grows when algorithms appear or change their speed: what was measured before is not believed.
constexpr int kConvGeneration = 5;

class ConvKernels {
 public:
  virtual ~ConvKernels() = default;
  // The algorithms that can run this pass with x and y in these layouts, the likeliest best first.
  // Never empty: "reference" runs everything. With `exact`, only those whose error is that of an
  // ordinary sum of products (no Winograd).
  virtual std::vector<std::string> Algorithms(const ConvShape& shape, ConvPass pass, Layout x,
                                              Layout y, bool exact) const = 0;
  virtual std::unique_ptr<ConvKernel> Make(const ConvShape& shape, ConvPass pass,
                                           const std::string& algorithm, Layout x,
                                           Layout y) const = 0;
  // Whether this device has one kernel for such a convolution and the max pooling by 2x2 behind it,
  // faster than two.
  virtual bool can_pool(const ConvShape&) const { return false; }
  // Only where can_pool(). x is plain, y, which is the pooled output, has this layout.
  virtual std::unique_ptr<PooledConvKernel> MakePooled(const ConvShape&, Layout /*y*/) const {
    return nullptr;
  }
  // Layouts worth trying for a picture of `c` channels, the likeliest best first; never empty.
  virtual std::vector<Layout> Layouts(int64_t c, DType dtype) const = 0;
};

}  // namespace lockstep

#endif  // LOCKSTEP_KERNELS_CONV_H_
