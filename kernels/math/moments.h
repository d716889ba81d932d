// Moments and gradient sums of batch normalisation: terms and second steps of
// kernels/math/channel_sums.h.
#ifndef LOCKSTEP_KERNELS_MATH_MOMENTS_H_
#define LOCKSTEP_KERNELS_MATH_MOMENTS_H_

#include <cstdint>

#include "kernels/math/block.h"
#include "kernels/math/channel_sums.h"
#include "kernels/math/half.h"
#include "kernels/math/host_device.h"

namespace lockstep::math {

// Of `count` values; m2 = the sum of (x - mean)^2.
struct Moments {
  double count, mean, m2;
};

// Chan, Golub and LeVeque, 1979: moments of the union from the moments of its parts.
struct MergeMoments {
  LOCKSTEP_FORMULA Moments operator()(const Moments& a, const Moments& b) const {
    if (a.count == 0) return b;
    if (b.count == 0) return a;
    const double delta = b.mean - a.mean;
    const double total = a.count + b.count;
    return {total, a.mean + delta * (b.count / total),
            a.m2 + (b.m2 + delta * delta * (a.count * b.count / total))};
  }
};

// Sums of d = x - shift and of d^2, with a shift near the mean of the part: neither cancels for
// data far from zero.
template <typename T>
struct MomentTerm {
  using Sum = Accumulator<T>;
  struct Shared {
    Sum shift;
  };
  const T* x;

  // The shift is the mean of the first values.
  LOCKSTEP_FORMULA Shared Start(const ChannelTiles& tiles, int64_t c, int64_t lane, int64_t begin,
                                int64_t end) const {
    const int64_t count = end - begin < 8 ? end - begin : 8;
    Sum shift = 0;
    for (int64_t i = 0; i < count; ++i) {
      shift += Sum(x[tiles.Offset(begin + i, c, lane)]) / static_cast<Sum>(count);
    }
    return {shift};
  }
  LOCKSTEP_FORMULA void Add(const Shared& shared, int64_t offset, Sum* a, Sum* b) const {
    const Sum d = Sum(x[offset]) - shared.shift;
    *a = d;
    *b = d * d;
  }
  // Mean and m2 of the part.
  LOCKSTEP_FORMULA TwoSums End(const Shared& shared, int64_t, double count,
                               const TwoSums& sums) const {
    const double d = sums.a / count;
    const double rest = sums.b - d * sums.a;
    return {static_cast<double>(shared.shift) + d, rest < 0 ? 0 : rest};  // a NaN passes
  }
};

// Of channel c, by a block.
struct MergeMomentParts {
  ChannelTiles tiles;
  const double* part_mean;
  const double* part_m2;
  double* mean;
  double* m2;

  template <typename Block>
  LOCKSTEP_FORMULA void operator()(const Block& block, int64_t c) const {
    const Parts cut = tiles.cut();
    Moments all{0, 0, 0};
    for (int64_t k = block.rank(); k < tiles.parts; k += block.size()) {
      const int64_t at = k * tiles.channels + c;
      const double count = static_cast<double>(cut.Begin(k + 1) - cut.Begin(k));
      all = MergeMoments{}(all, Moments{count, part_mean[at], part_m2[at]});
    }
    all = block.Combine(all, 1, MergeMoments{});
    if (block.rank() != 0) return;
    mean[c] = all.mean;
    m2[c] = all.m2;
  }
};

// dy behind what is fused with the normalisation, see NormKernels::GradientSums.
template <typename T>
LOCKSTEP_FORMULA T GradientBehind(bool is_fused, T keep_scale, T y, T dy) {
  if (!is_fused) return dy;
  return y == T(0) ? T(0) : dy * keep_scale;
}

// Sums of dz and of dz * (x - high), high being the mean rounded to T.
template <typename T>
struct GradientTerm {
  using Sum = Accumulator<T>;
  struct Shared {
    Sum high;
  };
  const T* x;
  const T* y;
  const T* dy;
  const double* mean;
  Sum keep_scale;
  bool is_fused;

  LOCKSTEP_FORMULA Shared Start(const ChannelTiles&, int64_t c, int64_t, int64_t, int64_t) const {
    return {static_cast<Sum>(mean[c])};
  }
  LOCKSTEP_FORMULA void Add(const Shared& shared, int64_t offset, Sum* a, Sum* b) const {
    const Sum out = is_fused ? Sum(y[offset]) : Sum(0);  // y may be null otherwise
    const Sum dz = GradientBehind(is_fused, keep_scale, out, Sum(dy[offset]));
    *a = dz;
    *b = dz * (Sum(x[offset]) - shared.high);
  }
  LOCKSTEP_FORMULA TwoSums End(const Shared&, int64_t, double, const TwoSums& sums) const {
    return sums;
  }
};

// Of channel c, by a block.
template <typename T>
struct AddGradientParts {
  int64_t channels, parts;
  const double* part_dz;
  const double* part_dz_x;
  const double* mean;
  const double* inv_std;
  double* sum_dz;
  double* sum_dz_xhat;

  template <typename Block>
  LOCKSTEP_FORMULA void operator()(const Block& block, int64_t c) const {
    TwoSums sums{0, 0};
    for (int64_t k = block.rank(); k < parts; k += block.size()) {
      sums = AddBoth{}(sums, {part_dz[k * channels + c], part_dz_x[k * channels + c]});
    }
    sums = block.Combine(sums, 1, AddBoth{});
    if (block.rank() != 0) return;
    const double lost = mean[c] - static_cast<double>(static_cast<T>(mean[c]));
    sum_dz[c] = sums.a;
    sum_dz_xhat[c] = inv_std[c] * (sums.b - lost * sums.a);
  }
};

}  // namespace lockstep::math

#endif  // LOCKSTEP_KERNELS_MATH_MOMENTS_H_
