// The steps of batch normalisation between sums and their use.
#include <cmath>
#include <vector>

#include "kernels/norm.h"
#include "tests/kernels/devices.h"

namespace lockstep::test {
namespace {

template <typename T>
class NormFinish : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(NormFinish, Types);

constexpr int64_t kChannels = 7;

template <typename T>
double Rounded(double value) {
  return static_cast<double>(static_cast<T>(value));
}

TYPED_TEST(NormFinish, MomentsBecomeFactorsAndMoveTheRunningStatistics) {
  using T = TypeParam;
  const auto mean = Numbers<double>(kChannels, 1), m2 = Numbers<double>(kChannels, 2, 0.5, 9);
  const auto old_mean = Numbers<T>(kChannels, 3), old_variance = Numbers<T>(kChannels, 4, 0.5, 2);
  for (const auto& b : Devices()) {
    auto running_mean = old_mean, running_variance = old_variance;
    std::vector<double> used(kChannels), inv_std(kChannels);
    b->norm().FinishMoments({.channels = kChannels,
                             .dtype = DTypeOf<T>(),
                             .count = 12,
                             .eps = 0.25,
                             .decay = 0.9,
                             .divisor = 11},
                            mean.data(), m2.data(), running_mean.data(), running_variance.data(),
                            used.data(), inv_std.data());
    for (size_t c = 0; c < kChannels; ++c) {
      EXPECT_EQ(used[c], mean[c]);
      EXPECT_DOUBLE_EQ(inv_std[c], 1 / std::sqrt(m2[c] / 12 + 0.25));
      const double followed = 0.9 * static_cast<double>(old_mean[c]) + 0.1 * mean[c];
      EXPECT_NEAR(running_mean[c], Rounded<T>(followed), 1e-7);
      const double variance = 0.9 * static_cast<double>(old_variance[c]) + 0.1 * m2[c] / 11;
      EXPECT_NEAR(running_variance[c], Rounded<T>(variance), 1e-6);
    }
  }
}

TYPED_TEST(NormFinish, SumsAreKeptAndRoundedToTheParametersGradients) {
  using T = TypeParam;
  const auto dz = Numbers<double>(kChannels, 1), dz_xhat = Numbers<double>(kChannels, 2);
  for (const auto& b : Devices()) {
    std::vector<double> sum_dz(kChannels), sum_dz_xhat(kChannels);
    std::vector<T> dgamma(kChannels, T(5)), dbeta(kChannels, T(5));
    double m = 0;
    b->norm().FinishGradientSums(DTypeOf<T>(), kChannels, 40, dz.data(), dz_xhat.data(),
                                 sum_dz.data(), sum_dz_xhat.data(), &m, dgamma.data(), nullptr);
    EXPECT_EQ(m, 40);
    EXPECT_EQ(sum_dz, dz);
    EXPECT_EQ(sum_dz_xhat, dz_xhat);
    for (size_t c = 0; c < kChannels; ++c) EXPECT_EQ(dgamma[c], static_cast<T>(dz_xhat[c]));
    EXPECT_EQ(dbeta, std::vector<T>(kChannels, T(5)));
    b->norm().FinishGradientSums(DTypeOf<T>(), kChannels, 40, dz.data(), dz_xhat.data(),
                                 sum_dz.data(), sum_dz_xhat.data(), &m, nullptr, dbeta.data());
    for (size_t c = 0; c < kChannels; ++c) EXPECT_EQ(dbeta[c], static_cast<T>(dz[c]));
  }
}

TYPED_TEST(NormFinish, RunningStatisticsBecomeFactors) {
  using T = TypeParam;
  const auto running_mean = Numbers<T>(kChannels, 1);
  const auto running_variance = Numbers<T>(kChannels, 2, 0, 2);
  for (const auto& b : Devices()) {
    std::vector<double> mean(kChannels), inv_std(kChannels);
    b->norm().LoadRunning(DTypeOf<T>(), kChannels, 1e-3, running_mean.data(),
                          running_variance.data(), mean.data(), inv_std.data());
    for (size_t c = 0; c < kChannels; ++c) {
      EXPECT_EQ(mean[c], static_cast<double>(running_mean[c]));
      EXPECT_DOUBLE_EQ(inv_std[c], 1 / std::sqrt(static_cast<double>(running_variance[c]) + 1e-3));
    }
  }
}

// bn(w * x + bias) for one input value.
TYPED_TEST(NormFinish, FoldedWeightsComputeTheNormalisationToo) {
  using T = TypeParam;
  constexpr int64_t kRow = 5;
  const auto w = Numbers<T>(kChannels * kRow, 1), bias = Numbers<T>(kChannels, 2);
  const auto gamma = Numbers<T>(kChannels, 3, 0.5, 1.5), beta = Numbers<T>(kChannels, 4);
  const auto mean = Numbers<T>(kChannels, 5), variance = Numbers<T>(kChannels, 6, 0.1, 2);
  for (const auto& b : Devices()) {
    for (const bool has_bias : {true, false}) {
      std::vector<T> folded(w.size()), folded_bias(kChannels);
      b->norm().FoldIntoWeights(DTypeOf<T>(), kChannels, kRow, 1e-2,
                                {.gamma = gamma.data(),
                                 .beta = beta.data(),
                                 .mean = mean.data(),
                                 .variance = variance.data()},
                                w.data(), has_bias ? bias.data() : nullptr, folded.data(),
                                folded_bias.data());
      for (size_t c = 0; c < kChannels; ++c) {
        double plain = has_bias ? static_cast<double>(bias[c]) : 0.0;
        double both = static_cast<double>(folded_bias[c]);
        for (size_t i = 0; i < kRow; ++i) {
          plain += static_cast<double>(w[c * kRow + i]);
          both += static_cast<double>(folded[c * kRow + i]);
        }
        const double wanted = (plain - static_cast<double>(mean[c])) /
                                  std::sqrt(static_cast<double>(variance[c]) + 1e-2) *
                                  static_cast<double>(gamma[c]) +
                              static_cast<double>(beta[c]);
        EXPECT_NEAR(both, wanted, sizeof(T) == 4 ? 1e-5 : 1e-13);
      }
    }
  }
}

}  // namespace
}  // namespace lockstep::test
