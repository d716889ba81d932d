// What batch normalisation does with every element, and the constants of a channel for it.
#ifndef LOCKSTEP_KERNELS_MATH_NORM_MAPS_H_
#define LOCKSTEP_KERNELS_MATH_NORM_MAPS_H_

#include <cstdint>

#include "kernels/math/batch_norm.h"
#include "kernels/math/half.h"
#include "kernels/math/host_device.h"
#include "kernels/math/moments.h"
#include "kernels/math/pack.h"
#include "kernels/math/picture_index.h"
#include "kernels/norm.h"

namespace lockstep::math {

// y = (x - high) * factor + offset. "high" is the mean rounded to T; what the rounding lost is
// inside the offset.
template <typename T>
struct NormalizeConstants {
  T high, factor, offset;
};

template <typename T>
LOCKSTEP_FORMULA NormalizeConstants<T> NormalizeConstantsOf(double mean, double inv_std, T gamma,
                                                            T beta) {
  const double factor = inv_std * static_cast<double>(gamma);
  const T high = static_cast<T>(mean);
  return {high, static_cast<T>(factor),
          static_cast<T>(static_cast<double>(beta) - (mean - static_cast<double>(high)) * factor)};
}

// dx = dz_factor * dz - offset - x_factor * (x - high).
template <typename T>
struct GradientConstants {
  T high, dz_factor, offset, x_factor;
};

template <typename T>
LOCKSTEP_FORMULA GradientConstants<T> GradientConstantsOf(double mean, double inv_std, T gamma,
                                                          double sum_dz, double sum_dz_xhat,
                                                          double m) {
  const double factor = inv_std * static_cast<double>(gamma);
  const double x_factor = factor * inv_std * sum_dz_xhat / m;
  const T high = static_cast<T>(mean);
  return {high, static_cast<T>(factor),
          static_cast<T>(factor * sum_dz / m - (mean - static_cast<double>(high)) * x_factor),
          static_cast<T>(x_factor)};
}

// The constants of channel c.
template <typename T>
struct NormalizeConstantsMap {
  const double* mean;
  const double* inv_std;
  const T* gamma;
  const T* beta;
  NormalizeConstants<T>* constants;
  LOCKSTEP_FORMULA void operator()(int64_t c) const {
    constants[c] = NormalizeConstantsOf(mean[c], inv_std[c], gamma[c], beta[c]);
  }
};
template <typename T>
struct GradientConstantsMap {
  const double* mean;
  const double* inv_std;
  const T* gamma;
  const double* sum_dz;
  const double* sum_dz_xhat;
  const double* m;
  GradientConstants<T>* constants;
  LOCKSTEP_FORMULA void operator()(int64_t c) const {
    constants[c] =
        GradientConstantsOf(mean[c], inv_std[c], gamma[c], sum_dz[c], sum_dz_xhat[c], *m);
  }
};

template <typename T>
LOCKSTEP_FORMULA T NormalizeOne(const NormalizeConstants<T>& k, bool relu, T x) {
  const T v = (x - k.high) * k.factor + k.offset;
  return relu && v < T(0) ? T(0) : v;
}

// Without dropout. `step` is PictureIndex::ChannelStep of a pack.
template <typename T>
struct NormalizeMap {
  using Element = T;
  PictureIndex index;
  int step;
  const NormalizeConstants<Accumulator<T>>* constants;
  bool relu;
  const T* x;
  T* y;

  LOCKSTEP_FORMULA bool IsAligned() const { return step >= 0 && ArePackAligned(x, y); }
  template <int N>
  LOCKSTEP_FORMULA void Run(int64_t i) const {
    const int64_t c = index.Point(i).c;
    Pack<T, N> v = LoadPack<N>(x + i);
    for (int k = 0; k < N; ++k) {
      v.v[k] = T(NormalizeOne(constants[c + k * step], relu, Accumulator<T>(v.v[k])));
    }
    StorePack(y + i, v);
  }
};

// The rule of DropoutMap with a normalisation and ReLU in front.
template <typename T>
struct NormalizeKeepRule {
  const NormalizeConstants<Accumulator<T>>* constants;
  const T* x;
  T* y;
  LOCKSTEP_FORMULA void operator()(int64_t offset, int64_t c, Accumulator<T> keep) const {
    y[offset] = T(NormalizeOne(constants[c], true, Accumulator<T>(x[offset])) * keep);
  }
};

template <typename T>
struct GradientMap {
  using Element = T;
  PictureIndex index;
  int step;
  const GradientConstants<Accumulator<T>>* constants;
  bool is_fused;
  Accumulator<T> keep_scale;
  const T* x;
  const T* y;
  const T* dy;
  T* dx;

  LOCKSTEP_FORMULA bool IsAligned() const {
    return step >= 0 && ArePackAligned(x, dy, dx) && (!is_fused || ArePackAligned(y));
  }
  template <int N>
  LOCKSTEP_FORMULA void Run(int64_t i) const {
    const int64_t c = index.Point(i).c;
    const Pack<T, N> in = LoadPack<N>(x + i);
    const Pack<T, N> gradient = LoadPack<N>(dy + i);
    Pack<T, N> out = {};
    if (is_fused) out = LoadPack<N>(y + i);
    using A = Accumulator<T>;
    for (int k = 0; k < N; ++k) {
      const GradientConstants<A> of = constants[c + k * step];
      const A dz = GradientBehind(is_fused, keep_scale, A(out.v[k]), A(gradient.v[k]));
      out.v[k] = T(dz * of.dz_factor - of.offset - (A(in.v[k]) - of.high) * of.x_factor);
    }
    StorePack(dx + i, out);
  }
};

// NormKernels::FinishMoments for channel c.
template <typename T>
struct FinishMomentsMap {
  MomentsUse use;
  const double* batch_mean;
  const double* m2;
  T* running_mean;
  T* running_variance;
  double* mean;
  double* inv_std;
  LOCKSTEP_FORMULA void operator()(int64_t c) const {
    running_mean[c] = Follow(running_mean[c], use.decay, batch_mean[c]);
    running_variance[c] = Follow(running_variance[c], use.decay, m2[c] / use.divisor);
    mean[c] = batch_mean[c];
    inv_std[c] = InverseDeviation(m2[c] / use.count, use.eps);
  }
};

// NormKernels::FinishGradientSums for channel c; channel 0 writes m.
template <typename T>
struct FinishGradientSumsMap {
  double count;
  const double* batch_dz;
  const double* batch_dz_xhat;
  double* sum_dz;
  double* sum_dz_xhat;
  double* m;
  T* dgamma;
  T* dbeta;
  LOCKSTEP_FORMULA void operator()(int64_t c) const {
    sum_dz[c] = batch_dz[c];
    sum_dz_xhat[c] = batch_dz_xhat[c];
    if (dgamma != nullptr) dgamma[c] = static_cast<T>(batch_dz_xhat[c]);
    if (dbeta != nullptr) dbeta[c] = static_cast<T>(batch_dz[c]);
    if (c == 0) *m = count;
  }
};

// NormKernels::LoadRunning for channel c.
template <typename T>
struct LoadRunningMap {
  double eps;
  const T* running_mean;
  const T* running_variance;
  double* mean;
  double* inv_std;
  LOCKSTEP_FORMULA void operator()(int64_t c) const {
    mean[c] = static_cast<double>(running_mean[c]);
    inv_std[c] = InverseDeviation(static_cast<double>(running_variance[c]), eps);
  }
};

// NormKernels::FoldIntoWeights for one weight; the first of a channel writes its bias.
template <typename T>
struct FoldMap {
  Divisor by_row;
  double eps;
  const T* gamma;
  const T* beta;
  const T* mean;
  const T* variance;
  const T* w;
  const T* bias;
  T* folded_w;
  T* folded_bias;
  LOCKSTEP_FORMULA void operator()(int64_t i) const {
    int64_t rest;
    const int64_t k = by_row.Divide(i, &rest);
    const double scale = FoldedScale(gamma[k], variance[k], eps);
    folded_w[i] = w[i] * static_cast<T>(scale);
    if (rest != 0) return;
    const double b = bias != nullptr ? static_cast<double>(bias[k]) : 0.0;
    folded_bias[k] = FoldedBias(b, mean[k], beta[k], scale);
  }
};

}  // namespace lockstep::math

#endif  // LOCKSTEP_KERNELS_MATH_NORM_MAPS_H_
