#ifndef LOCKSTEP_KERNELS_CUDA_ELEMENTWISE_H_
#define LOCKSTEP_KERNELS_CUDA_ELEMENTWISE_H_

#include "kernels/cuda/dispatch.h"
#include "kernels/elementwise.h"
#include "kernels/math/activation.h"
#include "kernels/math/copies.h"
#include "kernels/math/maps.h"

namespace lockstep::cuda {

// fn(rule) with the rule of `f`.
template <typename T, typename Fn>
void WithRule(Activation f, T slope, const Fn& fn) {
  switch (f) {
    case Activation::kIdentity:
      return fn(math::IdentityRule{});
    case Activation::kRelu:
      return fn(math::ReluRule{});
    case Activation::kLeakyRelu:
      return fn(math::LeakyReluRule<T>{slope});
    case Activation::kSigmoid:
      return fn(math::SigmoidRule{});
    case Activation::kTanh:
      return fn(math::TanhRule{});
  }
}

template <typename Stream>
class CudaElementwise final : public ElementwiseKernels {
 public:
  // `stream` must outlive this.
  explicit CudaElementwise(Stream* stream) : stream_(stream) {}

  void ActivationForward(DType dtype, Activation f, double slope, int64_t size, const void* x,
                         void* y) override {
    WithAnyFloat(dtype, [&](auto t) {
      using T = decltype(t);
      using A = math::Accumulator<T>;
      WithRule(f, static_cast<A>(slope), [&](auto rule) {
        using Rule = math::ForwardRule<A, decltype(rule)>;
        stream_->ForPacks("activation", size,
                          math::UnaryMap<T, Rule>{Rule{rule}, As(x, t), As(y, t)});
      });
    });
  }

  void ActivationBackward(DType dtype, Activation f, double slope, int64_t size, const void* y,
                          const void* dy, void* dx) override {
    WithAnyFloat(dtype, [&](auto t) {
      using T = decltype(t);
      using A = math::Accumulator<T>;
      WithRule(f, static_cast<A>(slope), [&](auto rule) {
        using Rule = math::BackwardRule<A, decltype(rule)>;
        stream_->ForPacks("activation's gradient", size,
                          math::BinaryMap<T, Rule>{Rule{rule}, As(y, t), As(dy, t), As(dx, t)});
      });
    });
  }

  void Add(DType dtype, int64_t size, const void* a, const void* b, void* y) override {
    WithAnyFloat(dtype, [&](auto t) {
      using Rule = math::AddRule<math::Accumulator<decltype(t)>>;
      stream_->ForPacks("sum", size,
                        math::BinaryMap<decltype(t), Rule>{Rule{}, As(a, t), As(b, t), As(y, t)});
    });
  }

  void Scale(DType dtype, double scale, int64_t size, const void* x, void* y) override {
    WithAnyFloat(dtype, [&](auto t) {
      using A = math::Accumulator<decltype(t)>;
      using Rule = math::ScaleRule<A>;
      const Rule rule{static_cast<A>(scale)};
      stream_->ForPacks("scaling", size,
                        math::UnaryMap<decltype(t), Rule>{rule, As(x, t), As(y, t)});
    });
  }

  void ScaleBy(DType dtype, const double* scale, int64_t size, const void* x, void* y) override {
    WithType(dtype, [&](auto t) {
      using Rule = math::ScaleByRule<decltype(t)>;
      stream_->ForPacks("scaling", size,
                        math::UnaryMap<decltype(t), Rule>{Rule{scale}, As(x, t), As(y, t)});
    });
  }

  void Cast(DType from, DType to, int64_t size, const void* x, void* y) override {
    const bool narrows = to != DType::kFloat32;
    WithHalf(narrows ? to : from, [&](auto t) {
      using Half = decltype(t);
      if (narrows) {
        stream_->ForPacks("cast", size, math::CastMap<float, Half>{As(x, 0.0F), As(y, t)});
      } else {
        stream_->ForPacks("cast", size, math::CastMap<Half, float>{As(x, t), As(y, 0.0F)});
      }
    });
  }

  void CastWithFeedback(DType to, int64_t size, const void* x, void* residual, void* y) override {
    WithHalf(to, [&](auto t) {
      stream_->ForPacks(
          "cast with feedback", size,
          math::CastWithFeedbackMap<decltype(t)>{As(x, 0.0F), As(residual, 0.0F), As(y, t)});
    });
  }

  void CopyIf(const int64_t* condition, size_t bytes, const void* from, void* to) override {
    stream_->ForEach(
        "copy under a condition", static_cast<int64_t>(bytes / sizeof(int64_t)),
        math::CopyIfMap{condition, static_cast<const int64_t*>(from), static_cast<int64_t*>(to)});
  }

  void Reorder(DType dtype, const PictureShape& shape, Layout from, Layout to, const void* x,
               void* y) override {
    CopyChannels(dtype, shape, from, 0, x, shape, to, 0, shape.c, y);
  }

  void CopyChannels(DType dtype, const PictureShape& x_shape, Layout x_layout, int64_t x_offset,
                    const void* x, const PictureShape& y_shape, Layout y_layout, int64_t y_offset,
                    int64_t channels, void* y) override {
    const PictureShape part{x_shape.n, channels, x_shape.h, x_shape.w};
    // Neighbouring threads write neighbours: along channels where y has those last, else along
    // rows.
    const Layout order{y_layout.block == 1 ? 1 : channels};
    WithAnyFloat(dtype, [&](auto t) {
      stream_->ForEach("layout copy", part.n * part.c * part.h * part.w,
                       math::CopyChannelsMap<decltype(t)>{math::PictureIndex(part, order),
                                                          math::PictureIndex(x_shape, x_layout),
                                                          math::PictureIndex(y_shape, y_layout),
                                                          x_offset, y_offset, As(x, t), As(y, t)});
    });
  }

 private:
  Stream* stream_;
};

}  // namespace lockstep::cuda

#endif  // LOCKSTEP_KERNELS_CUDA_ELEMENTWISE_H_
