// 16-bit floats as they travel, and the float32 they are added in.
#ifndef LOCKSTEP_COMM_HALF_H_
#define LOCKSTEP_COMM_HALF_H_

#include <bit>
#include <cstdint>

namespace lockstep {

// Exact; a NaN becomes quiet and keeps its payload, as the F16C instructions do it. No step meets a
// subnormal float32, so that a flush-to-zero mode changes nothing.
constexpr float WidenHalf(uint16_t half) {
  const uint32_t sign = (half & 0x8000U) << 16;
  const uint32_t rest = half & 0x7FFFU;
  const uint32_t shifted = rest << 13;
  const uint32_t normal = shifted + (112U << 23);
  const uint32_t special = (shifted + (224U << 23)) | (rest > 0x7C00U ? 0x400000U : 0U);
  // (1 + m / 1024) * 2^-14 - 2^-14 = m * 2^-24
  const uint32_t subnormal =
      std::bit_cast<uint32_t>(std::bit_cast<float>(shifted + 0x38800000U) - 0x1p-14F);
  const uint32_t finite = rest < 0x400U ? subnormal : normal;
  return std::bit_cast<float>(sign | (rest >= 0x7C00U ? special : finite));
}

// To nearest, ties to even; 65520 and more becomes infinite.
constexpr uint16_t NarrowHalf(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits >> 16 & 0x8000U;
  const uint32_t rest = bits & 0x7FFFFFFFU;
  const uint32_t normal = ((rest + 0xFFFU + (rest >> 13 & 1U)) >> 13) - (112U << 10);
  // Between 0.5 and 1 floats are 2^-24 apart, as subnormal halves are: the addition rounds.
  const uint32_t subnormal =
      std::bit_cast<uint32_t>(std::bit_cast<float>(rest) + 0.5F) - 0x3F000000U;
  const uint32_t special = rest > 0x7F800000U ? 0x7E00U | (rest >> 13 & 0x3FFU) : 0x7C00U;
  const uint32_t finite = rest < 0x38800000U ? subnormal : normal;
  return static_cast<uint16_t>(sign | (rest >= 0x477FF000U ? special : finite));
}

constexpr float WidenBfloat16(uint16_t value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value) << 16);
}

// To nearest, ties to even; a NaN stays one.
constexpr uint16_t NarrowBfloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16;
  const bool nan = (bits & 0x7FFFFFFFU) > 0x7F800000U;
  return static_cast<uint16_t>(nan ? bits >> 16 | 0x40U : rounded);
}

// Arrays; the same bits with F16C instructions, where the machine has them, as without.
void WidenHalves(const uint16_t* halves, float* floats, int64_t count);
void NarrowHalves(const float* floats, uint16_t* halves, int64_t count);

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_HALF_H_
