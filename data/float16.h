// IEEE 754 half precision as files store it.
#ifndef LOCKSTEP_DATA_FLOAT16_H_
#define LOCKSTEP_DATA_FLOAT16_H_

#include <bit>
#include <cstdint>

namespace lockstep {

// Exact: every half is a float. The payload of a NaN is kept.
constexpr float HalfToFloat(uint16_t half) {
  const uint32_t sign = (half & 0x8000U) << 16;
  const uint32_t exponent = half >> 10 & 31U;
  const uint32_t mantissa = half & 0x3FFU;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000U | mantissa << 13);
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
  // Subnormal: mantissa * 2^-24.
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;
  return sign == 0 ? magnitude : -magnitude;
}

}  // namespace lockstep

#endif  // LOCKSTEP_DATA_FLOAT16_H_
