#ifndef LOCKSTEP_KERNELS_CUDA_NORM_H_
#define LOCKSTEP_KERNELS_CUDA_NORM_H_

#include "kernels/cuda/dispatch.h"
#include "kernels/cuda/random.h"
#include "kernels/math/dropout.h"
#include "kernels/math/moments.h"
#include "kernels/math/norm_maps.h"
#include "kernels/norm.h"
#include "kernels/norm_fusion.h"

namespace lockstep::cuda {

template <typename Stream>
class CudaNorm final : public NormKernels {
 public:
  // `stream` must outlive this.
  explicit CudaNorm(Stream* stream) : stream_(stream) {}

  void Moments(const BatchNormShape& s, const void* x, double* mean, double* m2) override {
    const math::ChannelTiles tiles = TilesOf(s);
    double* const parts = TwoParts(tiles);
    double* const second = parts + tiles.parts * tiles.channels;
    WithAnyFloat(s.dtype, [&](auto t) {
      using Term = math::MomentTerm<decltype(t)>;
      stream_->ForBlocks("moments", tiles.blocks(),
                         math::ChannelSumParts<math::Accumulator<decltype(t)>, Term>{
                             tiles, Term{As(x, t)}, parts, second});
    });
    stream_->ForBlocks("moments' parts", tiles.channels,
                       math::MergeMomentParts{tiles, parts, second, mean, m2});
  }

  void Normalize(const BatchNormShape& s, const void* x, const double* mean, const double* inv_std,
                 const void* gamma, const void* beta, void* y) override {
    CheckFusion(s);
    WithAnyFloat(s.dtype, [&](auto t) {
      using T = decltype(t);
      using A = math::Accumulator<T>;
      auto* const constants = Constants<math::NormalizeConstants<A>>(s.picture.c);
      stream_->ForEach("normalisation's constants", s.picture.c,
                       math::NormalizeConstantsMap<A>{mean, inv_std, static_cast<const A*>(gamma),
                                                      static_cast<const A*>(beta), constants});
      if (s.dropout.ratio > 0) {
        using Rule = math::NormalizeKeepRule<T>;
        const math::FourGroups groups(s.picture, s.layout);
        stream_->ForEach("normalisation and dropout", s.picture.n * groups.groups(),
                         math::DropoutMap<A, Rule>{groups, MaskOf(s.dropout),
                                                   Rule{constants, As(x, t), As(y, t)}});
        return;
      }
      const math::PictureIndex index(s.picture, s.layout);
      stream_->ForPacks(
          "normalisation", SizeOf(s),
          math::NormalizeMap<T>{index, index.ChannelStep(math::kPackElements<T>), constants,
                                s.activation == Activation::kRelu, As(x, t), As(y, t)});
    });
  }

  void GradientSums(const BatchNormShape& s, const void* x, const void* y, const void* dy,
                    const double* mean, const double* inv_std, double* sum_dz,
                    double* sum_dz_xhat) override {
    CheckFusion(s);
    const math::ChannelTiles tiles = TilesOf(s);
    double* const parts = TwoParts(tiles);
    double* const second = parts + tiles.parts * tiles.channels;
    WithAnyFloat(s.dtype, [&](auto t) {
      using T = decltype(t);
      using A = math::Accumulator<T>;
      using Term = math::GradientTerm<T>;
      const Term term{As(x, t), As(y, t), As(dy, t), mean, KeepScale<A>(s), IsFused(s)};
      stream_->ForBlocks("normalisation's sums", tiles.blocks(),
                         math::ChannelSumParts<A, Term>{tiles, term, parts, second});
      stream_->ForBlocks("normalisation's parts", tiles.channels,
                         math::AddGradientParts<A>{tiles.channels, tiles.parts, parts, second, mean,
                                                   inv_std, sum_dz, sum_dz_xhat});
    });
  }

  void GradientApply(const BatchNormShape& s, const void* x, const void* y, const void* dy,
                     const double* mean, const double* inv_std, const void* gamma,
                     const double* sum_dz, const double* sum_dz_xhat, const double* m,
                     void* dx) override {
    CheckFusion(s);
    WithAnyFloat(s.dtype, [&](auto t) {
      using T = decltype(t);
      using A = math::Accumulator<T>;
      auto* const constants = Constants<math::GradientConstants<A>>(s.picture.c);
      stream_->ForEach("normalisation's gradient's constants", s.picture.c,
                       math::GradientConstantsMap<A>{mean, inv_std, static_cast<const A*>(gamma),
                                                     sum_dz, sum_dz_xhat, m, constants});
      const math::PictureIndex index(s.picture, s.layout);
      stream_->ForPacks("normalisation's gradient", SizeOf(s),
                        math::GradientMap<T>{index, index.ChannelStep(math::kPackElements<T>),
                                             constants, IsFused(s), KeepScale<A>(s), As(x, t),
                                             As(y, t), As(dy, t), As(dx, t)});
    });
  }

  void FinishMoments(const MomentsUse& use, const double* batch_mean, const double* m2,
                     void* running_mean, void* running_variance, double* mean,
                     double* inv_std) override {
    WithType(use.dtype, [&](auto t) {
      stream_->ForEach("running statistics", use.channels,
                       math::FinishMomentsMap<decltype(t)>{use, batch_mean, m2, As(running_mean, t),
                                                           As(running_variance, t), mean, inv_std});
    });
  }

  void FinishGradientSums(DType dtype, int64_t channels, double count, const double* batch_dz,
                          const double* batch_dz_xhat, double* sum_dz, double* sum_dz_xhat,
                          double* m, void* dgamma, void* dbeta) override {
    WithType(dtype, [&](auto t) {
      stream_->ForEach(
          "gradients of a normalisation's parameters", channels,
          math::FinishGradientSumsMap<decltype(t)>{count, batch_dz, batch_dz_xhat, sum_dz,
                                                   sum_dz_xhat, m, As(dgamma, t), As(dbeta, t)});
    });
  }

  void LoadRunning(DType dtype, int64_t channels, double eps, const void* running_mean,
                   const void* running_variance, double* mean, double* inv_std) override {
    WithType(dtype, [&](auto t) {
      stream_->ForEach("statistics of evaluation", channels,
                       math::LoadRunningMap<decltype(t)>{eps, As(running_mean, t),
                                                         As(running_variance, t), mean, inv_std});
    });
  }

  void FoldIntoWeights(DType dtype, int64_t channels, int64_t row, double eps,
                       const NormParameters& norm, const void* w, const void* bias, void* folded_w,
                       void* folded_bias) override {
    WithType(dtype, [&](auto t) {
      stream_->ForEach(
          "folding of a normalisation", channels * row,
          math::FoldMap<decltype(t)>{math::Divisor(row), eps, As(norm.gamma, t), As(norm.beta, t),
                                     As(norm.mean, t), As(norm.variance, t), As(w, t), As(bias, t),
                                     As(folded_w, t), As(folded_bias, t)});
    });
  }

 private:
  static int64_t SizeOf(const BatchNormShape& s) {
    return s.picture.n * s.picture.c * s.picture.h * s.picture.w;
  }
  static math::ChannelTiles TilesOf(const BatchNormShape& s) {
    return {s.picture.n, s.picture.c, s.picture.h * s.picture.w, s.layout.block};
  }
  template <typename T>
  static T KeepScale(const BatchNormShape& s) {
    return static_cast<T>(1 / (1 - s.dropout.ratio));
  }
  // Two arrays [part][channel].
  double* TwoParts(const math::ChannelTiles& tiles) {
    return static_cast<double*>(
        stream_->Scratch(static_cast<size_t>(2 * tiles.parts * tiles.channels) * sizeof(double)));
  }
  template <typename Of>
  Of* Constants(int64_t channels) {
    return static_cast<Of*>(stream_->Scratch(static_cast<size_t>(channels) * sizeof(Of)));
  }

  Stream* stream_;
};

}  // namespace lockstep::cuda

#endif  // LOCKSTEP_KERNELS_CUDA_NORM_H_
