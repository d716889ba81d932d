// 16-bit floats, as they are stored and travel, and the float32 that they are computed in.
#ifndef LOCKSTEP_KERNELS_MATH_HALF_H_
#define LOCKSTEP_KERNELS_MATH_HALF_H_

#include <cstdint>

#include "kernels/math/host_device.h"

namespace lockstep::math {

// Exact; a NaN becomes quiet and keeps its payload, as the F16C instructions do it. No step meets a
// subnormal float32, so that a flush-to-zero mode changes nothing.
LOCKSTEP_FORMULA constexpr float WidenHalf(uint16_t half) {
  const uint32_t sign = (half & 0x8000U) << 16;
  const uint32_t rest = half & 0x7FFFU;
  const uint32_t shifted = rest << 13;
  const uint32_t normal = shifted + (112U << 23);
  const uint32_t special = (shifted + (224U << 23)) | (rest > 0x7C00U ? 0x400000U : 0U);
  // (1 + m / 1024) * 2^-14 - 2^-14 = m * 2^-24
  const uint32_t subnormal =
      __builtin_bit_cast(uint32_t, __builtin_bit_cast(float, shifted + 0x38800000U) - 0x1p-14F);
  const uint32_t finite = rest < 0x400U ? subnormal : normal;
  return __builtin_bit_cast(float, sign | (rest >= 0x7C00U ? special : finite));
}

// To nearest, ties to even; 65520 and more becomes infinite.
LOCKSTEP_FORMULA constexpr uint16_t NarrowHalf(float value) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, value);
  const uint32_t sign = bits >> 16 & 0x8000U;
  const uint32_t rest = bits & 0x7FFFFFFFU;
  const uint32_t normal = ((rest + 0xFFFU + (rest >> 13 & 1U)) >> 13) - (112U << 10);
  // Between 0.5 and 1 floats are 2^-24 apart, as subnormal halves are: the addition rounds.
  const uint32_t subnormal =
      __builtin_bit_cast(uint32_t, __builtin_bit_cast(float, rest) + 0.5F) - 0x3F000000U;
  const uint32_t special = rest > 0x7F800000U ? 0x7E00U | (rest >> 13 & 0x3FFU) : 0x7C00U;
  const uint32_t finite = rest < 0x38800000U ? subnormal : normal;
  return static_cast<uint16_t>(sign | (rest >= 0x477FF000U ? special : finite));
}

LOCKSTEP_FORMULA constexpr float WidenBfloat16(uint16_t value) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(value) << 16);
}

// To nearest, ties to even; a NaN stays one.
LOCKSTEP_FORMULA constexpr uint16_t NarrowBfloat16(float value) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, value);
  const uint32_t rounded = (bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16;
  const bool nan = (bits & 0x7FFFFFFFU) > 0x7F800000U;
  return static_cast<uint16_t>(nan ? bits >> 16 | 0x40U : rounded);
}

// NOLINTBEGIN(google-explicit-constructor): they convert as numbers do.

// Elements of arrays. Arithmetic is that of float32, and storing rounds.
struct Half {
  uint16_t bits;
  Half() = default;
  LOCKSTEP_FORMULA constexpr Half(float value) : bits(NarrowHalf(value)) {}
  LOCKSTEP_FORMULA constexpr operator float() const { return WidenHalf(bits); }
};
struct Bfloat16 {
  uint16_t bits;
  Bfloat16() = default;
  LOCKSTEP_FORMULA constexpr Bfloat16(float value) : bits(NarrowBfloat16(value)) {}
  LOCKSTEP_FORMULA constexpr operator float() const { return WidenBfloat16(bits); }
};

// NOLINTEND(google-explicit-constructor)

// What is computed in where elements are T: AccumulatorOf (kernels/dtype.h) as a type.
template <typename T>
struct AccumulatorOfType {
  using Type = T;
};
template <>
struct AccumulatorOfType<Half> {
  using Type = float;
};
template <>
struct AccumulatorOfType<Bfloat16> {
  using Type = float;
};
template <typename T>
using Accumulator = typename AccumulatorOfType<T>::Type;

}  // namespace lockstep::math

#endif  // LOCKSTEP_KERNELS_MATH_HALF_H_
