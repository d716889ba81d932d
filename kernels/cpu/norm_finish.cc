// The parts of batch normalisation that walk over channels alone: too short for threads.
#include <algorithm>

#include "kernels/cpu/norm.h"
#include "kernels/math/batch_norm.h"

namespace lockstep::cpu {

void CpuNorm::FinishMoments(const MomentsUse& use, const double* batch_mean, const double* m2,
                            void* running_mean, void* running_variance, double* mean,
                            double* inv_std) {
  WithType(*isa_, use.dtype, [&](const auto&, auto* type) {
    for (int64_t c = 0; c < use.channels; ++c) {
      As(running_mean, type)[c] = math::Follow(As(running_mean, type)[c], use.decay, batch_mean[c]);
      As(running_variance, type)[c] =
          math::Follow(As(running_variance, type)[c], use.decay, m2[c] / use.divisor);
      mean[c] = batch_mean[c];
      inv_std[c] = math::InverseDeviation(m2[c] / use.count, use.eps);
    }
  });
}

void CpuNorm::FinishGradientSums(DType dtype, int64_t channels, double count,
                                 const double* batch_dz, const double* batch_dz_xhat,
                                 double* sum_dz, double* sum_dz_xhat, double* m, void* dgamma,
                                 void* dbeta) {
  std::copy_n(batch_dz, channels, sum_dz);
  std::copy_n(batch_dz_xhat, channels, sum_dz_xhat);
  *m = count;
  WithType(*isa_, dtype, [&](const auto&, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const auto store = [&](const double* sums, T* values) {
      for (int64_t c = 0; values != nullptr && c < channels; ++c) {
        values[c] = static_cast<T>(sums[c]);
      }
    };
    store(sum_dz_xhat, As(dgamma, type));
    store(sum_dz, As(dbeta, type));
  });
}

void CpuNorm::LoadRunning(DType dtype, int64_t channels, double eps, const void* running_mean,
                          const void* running_variance, double* mean, double* inv_std) {
  WithType(*isa_, dtype, [&](const auto&, auto* type) {
    for (int64_t c = 0; c < channels; ++c) {
      mean[c] = static_cast<double>(As(running_mean, type)[c]);
      inv_std[c] = math::InverseDeviation(static_cast<double>(As(running_variance, type)[c]), eps);
    }
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
