#include "tools/axis.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace lockstep::tools {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> Labels(const Axis& axis) {
  std::vector<std::string> labels;
  for (const Tick& tick : axis.ticks) {
    if (!tick.label.empty()) labels.push_back(tick.label);
  }
  return labels;
}

std::vector<double> Count(int from, int to) {
  std::vector<double> values;
  for (int i = from; i <= to; ++i) values.push_back(i);
  return values;
}

TEST(CountAxisTest, TicksAreWholeNumbers) {
  EXPECT_THAT(Labels(CountAxis(Count(1, 6))), ElementsAre("1", "2", "3", "4", "5", "6"));
  EXPECT_THAT(Labels(CountAxis(Count(1, 2))), ElementsAre("1", "2"));
  EXPECT_THAT(Labels(CountAxis(Count(1, 50))), ElementsAre("1", "10", "20", "30", "40", "50"));
  EXPECT_THAT(Labels(CountAxis(Count(101, 120))), ElementsAre("101", "105", "110", "115", "120"));
  EXPECT_THAT(Labels(CountAxis(Count(99, 120))), ElementsAre("100", "105", "110", "115", "120"));
}

TEST(CountAxisTest, BeginsAtTheFirstPointAndEndsAtTheLast) {
  for (const int last : {2, 6, 12, 30, 50, 500}) {
    const Axis axis = CountAxis(Count(1, last));
    EXPECT_NEAR(axis.Place(1), 0.02, 0.005) << last;
    EXPECT_NEAR(axis.Place(last), 0.98, 0.005) << last;
    EXPECT_EQ(Labels(axis).front(), "1") << last;
  }
}

TEST(CountAxisTest, OnePointIsInTheMiddle) {
  const Axis axis = CountAxis(Count(1, 1));
  EXPECT_THAT(Labels(axis), ElementsAre("1"));
  EXPECT_EQ(axis.Place(1), 0.5);
}

TEST(CountAxisTest, NoPointsHaveNoTicks) { EXPECT_THAT(Labels(CountAxis({})), IsEmpty()); }

TEST(ValueAxisTest, TicksAreRoundNumbers) {
  EXPECT_THAT(Labels(ValueAxis(std::vector{0.44, 0.99}, true)),
              ElementsAre("0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "1.0"));
  EXPECT_THAT(Labels(ValueAxis(std::vector{-3.0, 3.0}, false)),
              ElementsAre("-3", "-2", "-1", "0", "1", "2", "3"));
  EXPECT_THAT(Labels(ValueAxis(std::vector{0.1, 2.1}, false)),
              ElementsAre("0.0", "0.5", "1.0", "1.5", "2.0", "2.5"));
}

TEST(ValueAxisTest, LossesOverTwoDecadesAreLogarithmic) {
  const Axis axis = ValueAxis(std::vector{0.006, 1.8}, false);
  EXPECT_TRUE(axis.logarithmic);
  EXPECT_THAT(Labels(axis),
              ElementsAre("0.005", "0.01", "0.02", "0.05", "0.1", "0.2", "0.5", "1", "2"));
  EXPECT_NEAR(axis.Place(0.1), std::log(20) / std::log(400), 1e-12);
  EXPECT_FALSE(ValueAxis(std::vector{0.03, 1.8}, false).logarithmic);
  EXPECT_FALSE(ValueAxis(std::vector{0.0, 1.8}, false).logarithmic);
  EXPECT_FALSE(ValueAxis(std::vector{0.001, 1.0}, true).logarithmic);
}

TEST(ValueAxisTest, AConstantIsInTheMiddle) {
  for (const double value : {0.7, 2.3, -5.0, 1e-30, 1e30, 0.0}) {
    const Axis axis = ValueAxis(std::vector{value, value}, false);
    EXPECT_NEAR(axis.Place(value), 0.5, 0.2) << value;
  }
}

TEST(ValueAxisTest, ValuesThatAreNotFiniteAreLeftOut) {
  const Axis axis = ValueAxis(std::vector<double>{NAN, 0.5, INFINITY, 0.9}, true);
  EXPECT_GE(axis.low, 0.4);
  EXPECT_LE(axis.high, 1.0);
  EXPECT_EQ(ValueAxis(std::vector<double>{NAN}, false).high, 1);
}

// Whatever the values, all of them are on the axis, and ticks are few, rising and on it, too.
TEST(ValueAxisTest, HoldsForAnyValues) {
  std::mt19937_64 random(1);
  std::normal_distribution<double> normal;
  for (int round = 0; round < 20'000; ++round) {
    const double scale = std::exp(20 * normal(random));
    const double offset =
        round % 3 == 0 ? 0 : scale * std::exp(3 * normal(random)) * normal(random);
    std::vector<double> values;
    for (int i = 0; i < 1 + round % 5; ++i) values.push_back(offset + scale * normal(random));
    if (round % 2 == 0) {
      for (double& value : values) value = std::fabs(value);
    }
    const Axis axis = ValueAxis(values, false);
    for (const double value : values) {
      ASSERT_GE(axis.Place(value), -1e-6) << value;
      ASSERT_LE(axis.Place(value), 1 + 1e-6) << value;
    }
    ASSERT_GE(Labels(axis).size(), 2u) << values[0];
    ASSERT_LE(Labels(axis).size(), 13u) << values[0];
    for (size_t i = 0; i < axis.ticks.size(); ++i) {
      ASSERT_GE(axis.Place(axis.ticks[i].value), -1e-6);
      ASSERT_LE(axis.Place(axis.ticks[i].value), 1 + 1e-6);
      if (i > 0) {
        ASSERT_GT(axis.ticks[i].value, axis.ticks[i - 1].value);
      }
    }
  }
}

}  // namespace
}  // namespace lockstep::tools
