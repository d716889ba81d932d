#include "comm/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace lockstep {
namespace {

constexpr int kPatterns = 65536;

// From the definition of the format: sign, 5 bits of exponent, 10 of mantissa.
double HalfValue(int pattern) {
  const int exponent = pattern >> 10 & 31;
  const int mantissa = pattern & 1023;
  const double sign = (pattern & 0x8000) != 0 ? -1.0 : 1.0;
  if (exponent == 31) return mantissa == 0 ? sign * INFINITY : NAN;
  return sign *
         (exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25));
}

// Sign, 8 bits of exponent, 7 of mantissa.
double Bfloat16Value(int pattern) {
  const int exponent = pattern >> 7 & 255;
  const int mantissa = pattern & 127;
  const double sign = (pattern & 0x8000) != 0 ? -1.0 : 1.0;
  if (exponent == 255) return mantissa == 0 ? sign * INFINITY : NAN;
  return sign *
         (exponent == 0 ? std::ldexp(mantissa, -133) : std::ldexp(128 + mantissa, exponent - 134));
}

bool SameValue(double a, double b) {
  return std::isnan(a) ? std::isnan(b) : a == b && std::signbit(a) == std::signbit(b);
}

// The values between two neighbouring patterns of one sign, and what each must round to.
template <typename Narrow>
void ExpectRoundsBetween(int low, double low_value, double high_value, Narrow narrow) {
  const double middle = 0.5 * (low_value + high_value);
  const float tie = static_cast<float>(middle);
  ASSERT_EQ(tie, middle) << low;
  const uint16_t even = static_cast<uint16_t>(low + (low & 1));
  ASSERT_EQ(narrow(tie), even) << low;
  ASSERT_EQ(narrow(std::nextafter(tie, static_cast<float>(low_value))), low);
  ASSERT_EQ(narrow(std::nextafter(tie, static_cast<float>(high_value))), low + 1);
}

TEST(Half, EveryPatternWidensToItsValueAndBack) {
  for (int p = 0; p < kPatterns; ++p) {
    const float wide = WidenHalf(static_cast<uint16_t>(p));
    ASSERT_TRUE(SameValue(wide, HalfValue(p))) << p;
    const int quiet = std::isnan(wide) ? p | 0x200 : p;
    ASSERT_EQ(NarrowHalf(wide), quiet) << p;
  }
}

TEST(Half, RoundsToNearestTiesToEven) {
  for (int p = 0; p < 0x7BFF; ++p) {
    for (const int sign : {0, 0x8000}) {
      ExpectRoundsBetween(p | sign, HalfValue(p | sign), HalfValue((p + 1) | sign), NarrowHalf);
    }
  }
}

TEST(Half, LargeBecomesInfiniteAndTinyZero) {
  EXPECT_EQ(NarrowHalf(65519.996F), 0x7BFF);
  EXPECT_EQ(NarrowHalf(65520.0F), 0x7C00);
  EXPECT_EQ(NarrowHalf(-3e38F), 0xFC00);
  EXPECT_EQ(NarrowHalf(INFINITY), 0x7C00);
  EXPECT_EQ(NarrowHalf(0x1p-25F), 0);
  EXPECT_EQ(NarrowHalf(-std::numeric_limits<float>::denorm_min()), 0x8000);
}

TEST(Bfloat16, EveryPatternWidensToItsValueAndBack) {
  for (int p = 0; p < kPatterns; ++p) {
    const float wide = WidenBfloat16(static_cast<uint16_t>(p));
    ASSERT_TRUE(SameValue(wide, Bfloat16Value(p))) << p;
    const int quiet = std::isnan(wide) ? p | 0x40 : p;
    ASSERT_EQ(NarrowBfloat16(wide), quiet) << p;
  }
}

TEST(Bfloat16, RoundsToNearestTiesToEven) {
  for (int p = 0; p < 0x7F7F; ++p) {
    for (const int sign : {0, 0x8000}) {
      ExpectRoundsBetween(p | sign, Bfloat16Value(p | sign), Bfloat16Value((p + 1) | sign),
                          NarrowBfloat16);
    }
  }
}

TEST(Bfloat16, LargestFloatBecomesInfinite) {
  EXPECT_EQ(NarrowBfloat16(std::numeric_limits<float>::max()), 0x7F80);
  EXPECT_EQ(NarrowBfloat16(-INFINITY), 0xFF80);
}

// The arrays' instructions against the formulas: all patterns, and floats of every exponent.
TEST(Halves, ArraysHaveTheBitsOfSingleConversions) {
  std::vector<uint16_t> halves(kPatterns + 3);
  for (size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<uint16_t>(i);
  std::vector<float> floats(halves.size());
  WidenHalves(halves.data(), floats.data(), static_cast<int64_t>(halves.size()));
  for (size_t i = 0; i < halves.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(floats[i]), std::bit_cast<uint32_t>(WidenHalf(halves[i])));
  }
  std::vector<float> any;
  for (uint64_t bits = 0; bits <= 0xFFFFFFFFU; bits += 40503) {
    any.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
  }
  std::vector<uint16_t> narrow(any.size());
  NarrowHalves(any.data(), narrow.data(), static_cast<int64_t>(any.size()));
  for (size_t i = 0; i < any.size(); ++i) {
    ASSERT_EQ(narrow[i], NarrowHalf(any[i])) << std::bit_cast<uint32_t>(any[i]);
  }
}

}  // namespace
}  // namespace lockstep
