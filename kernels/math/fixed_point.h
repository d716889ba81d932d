// Magnitudes and fixed-point sums of floating-point numbers.
#ifndef LOCKSTEP_KERNELS_MATH_FIXED_POINT_H_
#define LOCKSTEP_KERNELS_MATH_FIXED_POINT_H_

#include <cstdint>

#include "kernels/math/host_device.h"

namespace lockstep::math {

// A value is finite when its exponent is not all ones: when its magnitude, as an integer, is below
// that of infinity.
template <typename T>
struct Bits;
template <>
struct Bits<float> {
  using Int = int32_t;
  static constexpr Int kMagnitude = 0x7FFFFFFF, kInfinity = 0x7F800000;
};
template <>
struct Bits<double> {
  using Int = int64_t;
  static constexpr Int kMagnitude = 0x7FFFFFFFFFFFFFFF, kInfinity = 0x7FF0000000000000;
};

template <typename T>
LOCKSTEP_FORMULA typename Bits<T>::Int Magnitude(T x) {
  return __builtin_bit_cast(typename Bits<T>::Int, x) & Bits<T>::kMagnitude;
}

// |x| of what Magnitude gave; infinity for what is not finite.
template <typename T>
LOCKSTEP_FORMULA double OfMagnitude(typename Bits<T>::Int bits) {
  if (bits >= Bits<T>::kInfinity) return __builtin_inf();
  return static_cast<double>(__builtin_bit_cast(T, bits));
}

// Adding kRounder to a double below 2^51 leaves its nearest integer in the low bits.
inline constexpr double kRounder = 0x1.8p52;

// |x| < 2^62 rounded to the nearest integer: the upper and the lower 32 bits apart, as instruction
// sets before AVX-512 have no conversion to 64-bit integers. Both are exact: what is left of the
// upper half is at most 2^31.
template <typename V, typename I>
LOCKSTEP_FORMULA I RoundToInteger(V x) {
  const V rounder = V{} + kRounder;
  const V upper = x * 0x1p-32 + rounder;
  const V lower = (x - (upper - rounder) * 0x1p32) + rounder;
  const I zero = __builtin_bit_cast(I, rounder);
  return ((__builtin_bit_cast(I, upper) - zero) << 32) + (__builtin_bit_cast(I, lower) - zero);
}

// ReduceKernels::ToFixedPoint and FromFixedPoint.
template <typename T>
struct ToFixedPointMap {
  const T* x;
  double scale;
  bool accumulate;
  int64_t* sums;
  LOCKSTEP_FORMULA void operator()(int64_t i) const {
    const int64_t term = RoundToInteger<double, int64_t>(static_cast<double>(x[i]) * scale);
    const uint64_t before = accumulate ? static_cast<uint64_t>(sums[i]) : 0;
    sums[i] = static_cast<int64_t>(before + static_cast<uint64_t>(term));
  }
};
template <typename T>
struct FromFixedPointMap {
  const int64_t* sums;
  double scale;
  T* y;
  LOCKSTEP_FORMULA void operator()(int64_t i) const {
    y[i] = static_cast<T>(static_cast<double>(sums[i]) * scale);
  }
};

}  // namespace lockstep::math

#endif  // LOCKSTEP_KERNELS_MATH_FIXED_POINT_H_
