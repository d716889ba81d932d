// The parts of batch normalisation that walk over channels alone: too short for threads.
#include <type_traits>

#include "kernels/cpu/norm.h"
#include "kernels/math/batch_norm.h"
#include "kernels/math/norm_maps.h"

namespace lockstep::cpu {

namespace {

template <typename Map>
void ForChannels(int64_t channels, const Map& map) {
  for (int64_t c = 0; c < channels; ++c) map(c);
}

}  // namespace

void CpuNorm::FinishMoments(const MomentsUse& use, const double* batch_mean, const double* m2,
                            void* running_mean, void* running_variance, double* mean,
                            double* inv_std) {
  WithType(*isa_, use.dtype, [&](const auto&, auto* type) {
    ForChannels(use.channels, math::FinishMomentsMap<std::remove_pointer_t<decltype(type)>>{
                                  use, batch_mean, m2, As(running_mean, type),
                                  As(running_variance, type), mean, inv_std});
  });
}

void CpuNorm::FinishGradientSums(DType dtype, int64_t channels, double count,
                                 const double* batch_dz, const double* batch_dz_xhat,
                                 double* sum_dz, double* sum_dz_xhat, double* m, void* dgamma,
                                 void* dbeta) {
  WithType(*isa_, dtype, [&](const auto&, auto* type) {
    ForChannels(channels, math::FinishGradientSumsMap<std::remove_pointer_t<decltype(type)>>{
                              count, batch_dz, batch_dz_xhat, sum_dz, sum_dz_xhat, m,
                              As(dgamma, type), As(dbeta, type)});
  });
}

void CpuNorm::LoadRunning(DType dtype, int64_t channels, double eps, const void* running_mean,
                          const void* running_variance, double* mean, double* inv_std) {
  WithType(*isa_, dtype, [&](const auto&, auto* type) {
    ForChannels(channels,
                math::LoadRunningMap<std::remove_pointer_t<decltype(type)>>{
                    eps, As(running_mean, type), As(running_variance, type), mean, inv_std});
  });
}

void CpuNorm::FoldIntoWeights(DType dtype, int64_t channels, int64_t row, double eps,
                              const NormParameters& norm, const void* w, const void* bias,
                              void* folded_w, void* folded_bias) {
  WithType(*isa_, dtype, [&](const auto&, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    for (int64_t k = 0; k < channels; ++k) {
      const double scale =
          math::FoldedScale(As(norm.gamma, type)[k], As(norm.variance, type)[k], eps);
      const double b = bias != nullptr ? static_cast<double>(As(bias, type)[k]) : 0.0;
      As(folded_bias, type)[k] =
          math::FoldedBias(b, As(norm.mean, type)[k], As(norm.beta, type)[k], scale);
      const T* from = As(w, type) + k * row;
      T* to = As(folded_w, type) + k * row;
      for (int64_t i = 0; i < row; ++i) to[i] = from[i] * static_cast<T>(scale);
    }
  });
}

}  // namespace lockstep::cpu
