#ifndef LOCKSTEP_KERNELS_CUDA_DIRECT_CONV_H_
#define LOCKSTEP_KERNELS_CUDA_DIRECT_CONV_H_

#include "kernels/conv.h"
#include "kernels/cuda/dispatch.h"
#include "kernels/math/direct_conv.h"

namespace lockstep::cuda {

// The algorithm "reference": every shape, layout and dtype; slow.
template <typename Stream>
class DirectConv final : public ConvKernel {
 public:
  // `stream` must outlive this.
  DirectConv(Stream* stream, const ConvShape& shape, ConvPass pass, Layout x, Layout y)
      : stream_(stream), pictures_(shape, x, y), pass_(pass) {}

  size_t scratch_bytes() const override { return 0; }
  size_t prepared_bytes() const override { return 0; }
  void PrepareWeights(const void*, void*) override {}

  void Run(const ConvBuffers& b) override {
    const ConvShape& s = pictures_.shape;
    WithAnyFloat(s.dtype, [&](auto t) {
      using T = decltype(t);
      switch (pass_) {
        case ConvPass::kForward:
          return stream_->ForEach(
              "direct convolution", s.n * s.k * pictures_.out_h * pictures_.out_w,
              math::ConvForwardMap<T>{pictures_, As(b.x, t), As(b.weights, t), As(b.bias, t),
                                      b.activation == Activation::kRelu, As(b.y, t)});
        case ConvPass::kBackwardData:
          return stream_->ForEach(
              "direct convolution's dx", s.n * s.c * s.h * s.w,
              math::ConvBackwardDataMap<T>{pictures_, As(b.y, t), As(b.weights, t), As(b.x, t)});
        case ConvPass::kBackwardWeights:
          return stream_->ForBlocks(
              "direct convolution's dw", s.k * (s.c / s.groups) * s.kh * s.kw,
              math::ConvBackwardWeightsBlocks<T>{pictures_, As(b.x, t), As(b.y, t),
                                                 static_cast<math::Accumulator<T>*>(b.dw)});
      }
    });
  }

 private:
  Stream* stream_;
  math::ConvPictures pictures_;
  ConvPass pass_;
};

}  // namespace lockstep::cuda

#endif  // LOCKSTEP_KERNELS_CUDA_DIRECT_CONV_H_
