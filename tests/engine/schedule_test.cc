// Learning rates against their closed forms, over numbers of steps that divide nothing evenly.
#include "engine/optim/schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/error.h"

namespace lockstep {
namespace {

constexpr double kBase = 0.07;
constexpr int64_t kSteps = 13;  // of an epoch

// After that many updates.
ScheduleTime At(int64_t iteration) {
  return {.iteration = iteration,
          .epoch = iteration / kSteps,
          .epoch_fraction = static_cast<double>(iteration) / kSteps};
}

// `wanted` of the updates made so far, from the first step to behind the last of `epochs`.
template <typename Wanted>
void ExpectRates(const Schedule& schedule, int64_t epochs, Wanted wanted) {
  for (int64_t i = 0; i <= epochs * kSteps + 2; ++i) {
    EXPECT_NEAR(schedule.Rate(kBase, At(i)), wanted(i), 1e-15) << "update " << i;
  }
}

TEST(Schedule, ConstantStays) {
  ExpectRates(*MakeConstantSchedule(), 3, [](int64_t) { return kBase; });
}

TEST(Schedule, ExponentialShiftMultipliesAtWholeEpochs) {
  const auto schedule = MakeExponentialShift(0.3, 3);
  ExpectRates(*schedule, 10, [](int64_t i) {
    double rate = kBase;
    for (int64_t shift = 3 * kSteps; shift <= i; shift += 3 * kSteps) rate *= 0.3;
    return rate;
  });
  EXPECT_THROW(MakeExponentialShift(0.5, 0), ConfigError);
}

TEST(Schedule, StepsMultiplyAtEachEpochReachedInAnyOrder) {
  const auto schedule = MakeSteps({7, 2, 3}, 0.1);
  ExpectRates(*schedule, 9, [](int64_t i) {
    const int64_t epoch = i / kSteps;
    return epoch < 2 ? kBase : epoch < 3 ? kBase * 0.1 : epoch < 7 ? kBase * 0.01 : kBase * 0.001;
  });
  ExpectRates(*MakeSteps({}, 0.1), 2, [](int64_t) { return kBase; });
  EXPECT_DOUBLE_EQ(MakeSteps({0}, 0.1)->Rate(kBase, At(0)), kBase * 0.1);
}

TEST(Schedule, CosineFallsFromBaseToFloorWithinAnEpochToo) {
  // 2.5 epochs of 13 steps: the floor is reached between two updates.
  const auto schedule = MakeCosine(2.5, 0.01);
  ExpectRates(*schedule, 5, [](int64_t i) {
    if (i >= 33) return 0.01;
    const double half = std::numbers::pi * static_cast<double>(i) / (2.5 * kSteps) / 2.0;
    return 0.01 + (kBase - 0.01) * std::cos(half) * std::cos(half);
  });
  EXPECT_DOUBLE_EQ(schedule->Rate(kBase, At(0)), kBase);
  EXPECT_DOUBLE_EQ(MakeCosine(5)->Rate(kBase, {.iteration = 1, .epoch = 2, .epoch_fraction = 2.5}),
                   kBase / 2);
  EXPECT_THROW(MakeCosine(0.0), ConfigError);
  EXPECT_THROW(MakeCosine(std::nan("")), ConfigError);
}

TEST(Schedule, CosineNeverRisesAndEndsAtItsFloor) {
  const auto schedule = MakeCosine(7, 0.002);
  double before = kBase;
  for (int64_t i = 0; i <= 7 * kSteps; ++i) {
    const double rate = schedule->Rate(kBase, At(i));
    EXPECT_LE(rate, before);
    before = rate;
  }
  EXPECT_DOUBLE_EQ(before, 0.002);
  EXPECT_DOUBLE_EQ(schedule->Rate(kBase, At(8 * kSteps)), 0.002);
}

TEST(Schedule, KerasDecayCountsUpdates) {
  ExpectRates(*MakeKerasDecay(1.0 / 3.0), 3,
              [](int64_t i) { return 3.0 * kBase / (3.0 + static_cast<double>(i)); });
  ExpectRates(*MakeKerasDecay(0.0), 1, [](int64_t) { return kBase; });
}

TEST(Schedule, WarmUpRisesInEqualStepsThenLeavesTheRest) {
  const auto warm_up = MakeWarmUp(7, MakeConstantSchedule());
  ExpectRates(*warm_up, 1,
              [](int64_t i) { return i < 7 ? kBase * static_cast<double>(i + 1) / 7.0 : kBase; });
  EXPECT_DOUBLE_EQ(warm_up->Rate(kBase, At(6)), kBase);
  ExpectRates(*MakeWarmUp(0, MakeConstantSchedule()), 1, [](int64_t) { return kBase; });
}

TEST(Schedule, WarmUpScalesWhatTheRestSaysMeanwhile) {
  // Longer than an epoch, with shifts inside.
  const auto schedule = MakeWarmUp(17, MakeExponentialShift(0.5, 1));
  const auto rest = MakeExponentialShift(0.5, 1);
  ExpectRates(*schedule, 3, [&](int64_t i) {
    return rest->Rate(kBase, At(i)) * std::min(1.0, static_cast<double>(i + 1) / 17.0);
  });
}

TEST(Schedule, SaysWhatItDoes) {
  EXPECT_EQ(MakeConstantSchedule()->ToString(), "constant");
  EXPECT_EQ(MakeExponentialShift(0.5, 25)->ToString(), "exponential-shift factor=0.5 every=25");
  EXPECT_EQ(MakeSteps({3, 7}, 0.1)->ToString(), "steps factor=0.1 epochs=3,7");
  EXPECT_EQ(MakeCosine(9, 0.25)->ToString(), "cosine epochs=9 floor=0.25");
  EXPECT_EQ(MakeKerasDecay(0.5)->ToString(), "decay 0.5");
  EXPECT_EQ(MakeWarmUp(5, MakeCosine(9))->ToString(), "warm-up 5 then cosine epochs=9 floor=0");
}

}  // namespace
}  // namespace lockstep
