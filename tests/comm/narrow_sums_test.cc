// Sums in 16 bits: how near they are, and what feedback makes of what they lose.
#include "comm/narrow_sums.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>

#include "tests/comm/processes.h"
#include "tests/comm/ranks.h"

namespace lockstep::testing {
namespace {

using Values = std::vector<float>;

// What rank `rank` gives: signed values of magnitudes that differ by up to 2^12, times `scale`.
Values GivenBy(int rank, int64_t count, double scale = 1.0) {
  std::mt19937 random(static_cast<unsigned>(rank + 100 * count + 1));
  std::normal_distribution<double> normal;
  Values values(static_cast<size_t>(count));
  for (float& value : values) {
    value = static_cast<float>(normal(random) * std::exp2(random() % 12) * scale);
  }
  return values;
}

// What has come out of so many steps with the same gradients, added up.
std::vector<double> TotalOf(Communicator& ranks, WireType type, bool feedback, int steps,
                            const Values& mine, int64_t pieces = 1) {
  const auto count = static_cast<int64_t>(mine.size());
  NarrowSums sums(type, feedback, DType::kFloat32, count, ranks.Allocate(mine.size() * 2));
  std::vector<double> total(mine.size());
  for (int step = 0; step < steps; ++step) {
    Values gradients = mine;
    for (int64_t i = 0; i < pieces; ++i) {
      const int64_t begin = count * i / pieces, end = count * (i + 1) / pieces;
      sums.Sum(ranks, gradients.data(), begin, end - begin);
    }
    for (size_t i = 0; i < total.size(); ++i) total[i] += double{gradients[i]};
  }
  return total;
}

double UnitRoundoff(WireType type) { return type == WireType::kFloat16 ? 0x1p-11 : 0x1p-8; }

// Every element is off by the rounding of each rank's value and that of the sum, at most.
void ExpectNear(Communicator& ranks, WireType type, int64_t count, double scale) {
  const std::vector<double> found =
      TotalOf(ranks, type, false, 1, GivenBy(ranks.rank(), count, scale));
  for (int64_t i = 0; i < count; ++i) {
    double exact = 0.0, magnitude = 0.0;
    for (int rank = 0; rank < ranks.size(); ++rank) {
      const double value = double{GivenBy(rank, count, scale)[static_cast<size_t>(i)]};
      exact += value;
      magnitude += std::abs(value);
    }
    // Below the ordinary floats spacing is the same for all.
    const double least = type == WireType::kFloat16 ? 0x1p-147 : 0x1p-131;
    EXPECT_NEAR(found[static_cast<size_t>(i)], exact,
                2.01 * UnitRoundoff(type) * magnitude + least);
  }
}

class Narrow : public ::testing::TestWithParam<WireType> {};

TEST_P(Narrow, SumsAreNearForAnySizeAndScale) {
  for (const int ranks : {2, 3, 4}) {
    for (const int64_t count : {0, 1, 7, 1025}) {
      for (const double scale : {1.0, 1e-30, 1e30, 1e-40}) {
        if (count == 1025 && ranks > 2 && scale != 1.0) continue;
        OnRanks(ranks, [&](Communicator& c) { ExpectNear(c, GetParam(), count, scale); });
      }
    }
  }
}

TEST_P(Narrow, SumsAreNearInSharedMemory) {
  const std::vector<int> statuses = RunProcesses(3, [&](int rank, const ExchangeBytes& exchange) {
    const auto ranks = MakeShmCommunicator({.rank = rank, .size = 3, .world_rank = rank}, exchange);
    ExpectNear(*ranks, GetParam(), 129, 1.0);
  });
  EXPECT_EQ(statuses, std::vector<int>(3, 0));
}

TEST_P(Narrow, FeedbackLosesLessOverManySteps) {
  for (const int ranks : {2, 3, 4}) {
    constexpr int64_t kCount = 500;
    constexpr int kSteps = 300;
    std::vector<double> with, without, exact(kCount);
    OnRanks(ranks, [&](Communicator& c) {
      const Values mine = GivenBy(c.rank(), kCount, 1e-6);
      const std::vector<double> fed = TotalOf(c, GetParam(), true, kSteps, mine, 3);
      const std::vector<double> lost = TotalOf(c, GetParam(), false, kSteps, mine, 3);
      if (c.rank() == 0) with = fed, without = lost;
    });
    double error_with = 0.0, error_without = 0.0;
    for (int64_t i = 0; i < kCount; ++i) {
      const auto at = static_cast<size_t>(i);
      for (int rank = 0; rank < ranks; ++rank) {
        exact[at] += kSteps * double{GivenBy(rank, kCount, 1e-6)[at]};
      }
      error_with += std::abs(with[at] - exact[at]);
      error_without += std::abs(without[at] - exact[at]);
    }
    // What is left is the rounding of the sums.
    EXPECT_LT(error_with, 0.75 * error_without) << ranks << " ranks";
  }
}

// The largest possible sum lies below 2^15, so that all of the range is used: of a piece whose
// largest element is 1, what is 2^-27 still has all bits of a half.
TEST(NarrowFloat16, SmallElementsBesideLargeOnesKeepTheirBits) {
  constexpr float kSmall = 0x1.004p-27F;
  for (const int ranks : {2, 3, 4, 5}) {
    OnRanks(ranks, [&](Communicator& c) {
      const Values mine{1.0F, ranks == 2 ? kSmall : 4.0F * kSmall};
      const std::vector<double> sums = TotalOf(c, WireType::kFloat16, false, 1, mine);
      EXPECT_EQ(sums[0], ranks);
      const double exact = ranks * double{mine[1]};
      EXPECT_NEAR(sums[1], exact, ranks == 2 || ranks == 4 ? 0.0 : 0x1p-11 * exact);
    });
  }
}

// An element too small for the wire beside a large one of its piece arrives in the end.
TEST_P(Narrow, FeedbackBringsWhatIsTooSmallForTheWire) {
  OnRanks(2, [&](Communicator& c) {
    // Of the sum of 1 and 0.3 * 2^-8 (bfloat16: of 2^-5) nothing is left without feedback.
    const float little = GetParam() == WireType::kFloat16 ? 0x1p-13F : 0x1p-10F;
    const Values mine(9, 1.0F + little);
    EXPECT_EQ(TotalOf(c, GetParam(), false, 64, mine)[4], 128.0);
    EXPECT_NEAR(TotalOf(c, GetParam(), true, 64, mine)[4], 128.0 * (1.0 + double{little}), 4e-3);
  });
}

TEST_P(Narrow, WhatIsNotFiniteStaysSoAndLeavesNothingBehind) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float bad : {kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN()}) {
    OnRanks(2, [&](Communicator& c) {
      NarrowSums sums(GetParam(), true, DType::kFloat32, 5, c.Allocate(10));
      Values gradients{1.0F, 2.0F, c.rank() == 1 ? bad : 3.0F, 4.0F, 5.0F};
      sums.Sum(c, gradients.data(), 0, 5);
      EXPECT_FALSE(std::isfinite(gradients[2]));
      gradients.assign(5, 1.0F);
      sums.Sum(c, gradients.data(), 0, 5);
      EXPECT_EQ(gradients[2], 2.0F);
    });
  }
}

TEST_P(Narrow, OneRankRoundsNothingAndAddsWhatIsLeft) {
  OnRanks(1, [&](Communicator& c) {
    NarrowSums sums(GetParam(), true, DType::kFloat64, 3, c.Allocate(6));
    reinterpret_cast<double*>(sums.residual().data())[1] = 0.125;
    std::vector<double> gradients{0.1, 0.2, 0.3};
    sums.Sum(c, gradients.data(), 0, 3);
    EXPECT_EQ(gradients, (std::vector<double>{0.1, 0.2 + 0.125, 0.3}));
    sums.Sum(c, gradients.data(), 0, 3);
    EXPECT_EQ(gradients[1], 0.2 + 0.125);
  });
}

INSTANTIATE_TEST_SUITE_P(Of, Narrow, ::testing::Values(WireType::kFloat16, WireType::kBfloat16),
                         [](const auto& info) {
                           return info.param == WireType::kFloat16 ? "Float16" : "Bfloat16";
                         });

}  // namespace
}  // namespace lockstep::testing
