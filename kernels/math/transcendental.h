// exp, expm1, log, sin and cos as straight-line code, which compilers turn into vector code; the
// same text for float and double. Errors are below about 2 ulp.
#ifndef LOCKSTEP_KERNELS_MATH_TRANSCENDENTAL_H_
#define LOCKSTEP_KERNELS_MATH_TRANSCENDENTAL_H_

#include <cstdint>

#include "kernels/math/host_device.h"

namespace lockstep::math {

// What the algorithms need to know of a format. Series lengths are such that the first term left
// out is below a quarter ulp.
template <typename T>
struct FloatTraits;

template <>
struct FloatTraits<float> {
  using Int = int32_t;
  using Unsigned = uint32_t;
  static constexpr int kMantissa = 23;
  static constexpr Int kBias = 127;
  static constexpr float kLn2High = 0.693145751953125F;  // 16 bits: n * kLn2High is exact
  static constexpr float kLn2Low = 1.428606765330187e-06F;
  static constexpr float kExpMin = -104.0F, kExpMax = 89.0F;  // beyond: 0 and infinity
  static constexpr int kExpTerms = 7, kLogTerms = 5, kSinTerms = 5, kCosTerms = 6;
};

template <>
struct FloatTraits<double> {
  using Int = int64_t;
  using Unsigned = uint64_t;
  static constexpr int kMantissa = 52;
  static constexpr Int kBias = 1023;
  static constexpr double kLn2High = 0x1.62e42fee00000p-1;
  static constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
  static constexpr double kExpMin = -746.0, kExpMax = 710.0;
  static constexpr int kExpTerms = 13, kLogTerms = 11, kSinTerms = 9, kCosTerms = 10;
};

// 2^n for n in the range of normal numbers.
template <typename T>
LOCKSTEP_FORMULA T PowerOfTwo(int32_t n) {
  using Traits = FloatTraits<T>;
  return __builtin_bit_cast(T, static_cast<typename Traits::Int>(n + Traits::kBias)
                                   << Traits::kMantissa);
}

// x = n * ln 2 + r with |r| <= ln(2) / 2. x must lie in kExpMin .. kExpMax; a NaN stays in r.
template <typename T>
LOCKSTEP_FORMULA int32_t ReduceByLn2(T x, T* r) {
  const T scaled = x * T(1.4426950408889634);
  const int32_t n = static_cast<int32_t>(scaled + (scaled < 0 ? T(-0.5) : T(0.5)));
  const T whole = static_cast<T>(n);
  *r = (x - whole * FloatTraits<T>::kLn2High) - whole * FloatTraits<T>::kLn2Low;
  return n;
}

// (e^r - 1) / r by Taylor's series in Horner's form.
template <typename T>
LOCKSTEP_FORMULA T ExpSeries(T r) {
  T p = 1;
  for (int k = FloatTraits<T>::kExpTerms; k >= 2; --k) p = T(1) + p * r * (T(1) / T(k));
  return p;
}

template <typename T>
LOCKSTEP_FORMULA T ClampForExp(T x) {
  using Traits = FloatTraits<T>;
  const T low = x < Traits::kExpMin ? Traits::kExpMin : x;
  return low > Traits::kExpMax ? Traits::kExpMax : low;
}

template <typename T>
LOCKSTEP_FORMULA T Exp(T x) {
  T r;
  const int32_t n = ReduceByLn2(ClampForExp(x), &r);
  const int32_t half = n >> 1;  // two factors: results may be subnormal or infinite
  const T p = T(1) + r * ExpSeries(r);
  return p * PowerOfTwo<T>(half) * PowerOfTwo<T>(n - half);
}

// e^x - 1 for x in -40 .. 40, without cancellation near 0.
template <typename T>
LOCKSTEP_FORMULA T Expm1(T x) {
  T r;
  const T scale = PowerOfTwo<T>(ReduceByLn2(x, &r));
  return scale * (r * ExpSeries(r)) + (scale - T(1));
}

// Saturates to +-1 in both formats before the clamp.
template <typename T>
LOCKSTEP_FORMULA T Tanh(T x) {
  const T low = x < T(-20) ? T(-20) : x;
  const T e = Expm1(T(2) * (low > T(20) ? T(20) : low));
  return e / (e + T(2));
}

template <typename T>
LOCKSTEP_FORMULA T Sigmoid(T x) {
  return T(1) / (T(1) + Exp(-x));
}

// ln(x) of a positive normal number: x = m * 2^e with m in sqrt(1/2) .. sqrt(2), then
// ln m = 2 artanh(s), s = (m - 1) / (m + 1).
template <typename T>
LOCKSTEP_FORMULA T Log(T x) {
  using Traits = FloatTraits<T>;
  // Unsigned: few vector units shift 64-bit integers with their sign, and a NaN may wrap around.
  using Bits = typename Traits::Unsigned;
  constexpr Bits kSqrtHalf = __builtin_bit_cast(Bits, T(0.70710678118654752));
  constexpr Bits kOne = __builtin_bit_cast(Bits, T(1));
  const Bits bits = __builtin_bit_cast(Bits, x) + (kOne - kSqrtHalf);
  const T e = static_cast<T>(static_cast<int32_t>(bits >> Traits::kMantissa) -
                             static_cast<int32_t>(Traits::kBias));
  const Bits fraction = bits & ((Bits{1} << Traits::kMantissa) - 1);
  const T m = __builtin_bit_cast(T, fraction + kSqrtHalf);
  const T s = (m - T(1)) / (m + T(1));
  const T s2 = s * s;
  T p = T(1) / T(2 * Traits::kLogTerms + 1);
  for (int k = Traits::kLogTerms - 1; k >= 0; --k) p = p * s2 + T(1) / T(2 * k + 1);
  return e * Traits::kLn2High + (T(2) * s * p + e * Traits::kLn2Low);
}

// sin and cos of `turns` full turns, 0 <= turns < 1.
template <typename T>
LOCKSTEP_FORMULA void SinCosTurns(T turns, T* sine, T* cosine) {
  const T quarters = turns * T(4);
  const int32_t q = static_cast<int32_t>(quarters + T(0.5));
  const T a = (quarters - static_cast<T>(q)) * T(1.5707963267948966);
  const T a2 = a * a;
  T s = 1, c = 1;
  for (int k = FloatTraits<T>::kSinTerms - 1; k >= 1; --k) {
    s = T(1) - s * a2 * (T(1) / T(2 * k * (2 * k + 1)));
  }
  for (int k = FloatTraits<T>::kCosTerms - 1; k >= 1; --k) {
    c = T(1) - c * a2 * (T(1) / T(2 * k * (2 * k - 1)));
  }
  s *= a;
  const bool swap = (q & 1) != 0;
  const T sin_abs = swap ? c : s;
  const T cos_abs = swap ? s : c;
  *sine = (q & 2) != 0 ? -sin_abs : sin_abs;
  *cosine = ((q + 1) & 2) != 0 ? -cos_abs : cos_abs;
}

}  // namespace lockstep::math

#endif  // LOCKSTEP_KERNELS_MATH_TRANSCENDENTAL_H_
