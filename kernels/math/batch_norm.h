// What batch normalisation does with one channel's statistics.
#ifndef LOCKSTEP_KERNELS_MATH_BATCH_NORM_H_
#define LOCKSTEP_KERNELS_MATH_BATCH_NORM_H_

#include "kernels/math/host_device.h"
#include "kernels/math/square_root.h"

namespace lockstep::math {

LOCKSTEP_FORMULA double InverseDeviation(double variance, double eps) {
  return 1.0 / SquareRoot(variance + eps);
}

// A running statistic behind a batch's value.
template <typename T>
LOCKSTEP_FORMULA T Follow(T running, double decay, double value) {
  return static_cast<T>(decay * static_cast<double>(running) + (1 - decay) * value);
}

// The factor of a layer's weights that takes over a normalisation by running statistics.
template <typename T>
LOCKSTEP_FORMULA double FoldedScale(T gamma, T variance, double eps) {
  return static_cast<double>(gamma) / SquareRoot(static_cast<double>(variance) + eps);
}

template <typename T>
LOCKSTEP_FORMULA T FoldedBias(double bias, T mean, T beta, double scale) {
  return static_cast<T>((bias - static_cast<double>(mean)) * scale + static_cast<double>(beta));
}

}  // namespace lockstep::math

#endif  // LOCKSTEP_KERNELS_MATH_BATCH_NORM_H_
