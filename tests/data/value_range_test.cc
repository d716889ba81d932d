#include "data/value_range.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace lockstep {
namespace {

template <typename T>
ValueRange Of(const std::vector<T>& values) {
  return RangeOf(Tensor::FromValues<T>(Shape({std::ssize(values)}), values));
}

TEST(ValueRange, IsThatOfEveryType) {
  EXPECT_EQ(Of<uint8_t>({7, 3, 250}).least, 3.0);
  EXPECT_EQ(Of<uint8_t>({7, 3, 250}).largest, 250.0);
  EXPECT_EQ(Of<int32_t>({-9, -8}).largest, -8.0);
  EXPECT_EQ(Of<int64_t>({int64_t{1} << 40}).least, 0x1p40);
  EXPECT_EQ(Of<double>({-1e300, 1e300}).least, -1e300);
}

TEST(ValueRange, LeavesOutWhatIsNotFinite) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const ValueRange range = Of<float>({NAN, -2.5F, kInfinity, -3.0F, -kInfinity});
  EXPECT_EQ(range.least, -3.0);
  EXPECT_EQ(range.largest, -2.5);
  EXPECT_EQ(range.not_finite, 3);
}

TEST(ValueRange, OfNothingIsEmpty) {
  for (const ValueRange& range : {Of<float>({}), Of<float>({NAN})}) {
    EXPECT_GT(range.least, range.largest);
  }
}

}  // namespace
}  // namespace lockstep
