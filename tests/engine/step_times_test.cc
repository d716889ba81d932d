// The arithmetic of step reports, on made-up steps.
#include "engine/train/step_times.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "engine/train/rank_clock.h"

namespace lockstep {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;

// Ranks that meet now and then; clocks with an offset and a drift of their own.
class MeetingRanks {
 public:
  MeetingRanks(std::vector<double> offsets, std::vector<double> drifts, double latency)
      : offsets_(std::move(offsets)), drifts_(std::move(drifts)), latency_(latency) {}

  // One collective that ranks enter up to `spread` seconds apart.
  std::vector<Passage> Meet(double spread) {
    std::uniform_real_distribution<double> when(0.0, spread);
    std::exponential_distribution<double> jitter(1.0 / latency_);
    std::vector<double> enter;
    for (size_t rank = 0; rank < offsets_.size(); ++rank) enter.push_back(now_ + when(random_));
    const double last = *std::max_element(enter.begin(), enter.end());
    std::vector<Passage> passages;
    for (size_t rank = 0; rank < offsets_.size(); ++rank) {
      const double exit = last + latency_ + jitter(random_);
      passages.push_back({ClockOf(rank, enter[rank]), ClockOf(rank, exit)});
      now_ = std::max(now_, exit);
    }
    return passages;
  }
  void Pass(double seconds) { now_ += seconds; }
  double Truth(size_t rank, size_t reference) const {
    return ClockOf(rank, now_) - ClockOf(reference, now_);
  }

 private:
  double ClockOf(size_t rank, double time) const {
    return offsets_[rank] + time * (1.0 + drifts_[rank]);
  }

  std::vector<double> offsets_, drifts_;
  double latency_;
  double now_ = 1000.0;
  std::mt19937 random_{3};
};

TEST(RankClockTest, BoundsTheTruthAndComesCloseToIt) {
  MeetingRanks ranks({0.0, 123.0, -5000.25, 7.5}, {0.0, 0.0, 0.0, 0.0}, 50e-6);
  RankClock clock(4);
  EXPECT_TRUE(std::isinf(clock.Offset(1, 0).error));
  for (int i = 0; i < 200; ++i) {
    clock.Add(ranks.Meet(0.02));
    for (const int reference : {0, 2}) {
      for (int rank = 0; rank < 4; ++rank) {
        const ClockOffset offset = clock.Offset(rank, reference);
        const double truth = ranks.Truth(static_cast<size_t>(rank), static_cast<size_t>(reference));
        EXPECT_LE(std::abs(offset.seconds - truth), offset.error + 1e-9);
        if (i > 60) {
          EXPECT_LT(offset.error, 2e-3);
        }
      }
    }
  }
  EXPECT_EQ(clock.Offset(2, 2).error, 0.0);
}

TEST(RankClockTest, TakesTheMiddleOfItsBounds) {
  RankClock clock(2);
  clock.Add({{.enter = 0.0, .exit = 10.0}, {.enter = 105.0, .exit = 112.0}});
  EXPECT_EQ(clock.Offset(1, 0).seconds, 0.5 * (95.0 + 112.0));
  EXPECT_EQ(clock.Offset(1, 0).error, 0.5 * (112.0 - 95.0));
  EXPECT_EQ(clock.Offset(0, 1).seconds, -clock.Offset(1, 0).seconds);
  // They cross when one clock has jumped.
  clock.Add({{.enter = 100.0, .exit = 101.0}, {.enter = 300.0, .exit = 302.0}});
  EXPECT_EQ(clock.Offset(1, 0).seconds, 0.5 * (199.0 + 112.0));
  EXPECT_EQ(clock.Offset(1, 0).error, 0.5 * (199.0 - 112.0));
}

// As when the trainer compares clocks before the first step: nothing in between.
TEST(RankClockTest, EightRoundsInARowAreAsGoodAsMessagesAreFast) {
  MeetingRanks ranks({0.0, 44.0}, {0.0, 0.0}, 50e-6);
  RankClock clock(2);
  for (int i = 0; i < 8; ++i) clock.Add(ranks.Meet(20e-6));
  EXPECT_NEAR(clock.Offset(1, 0).seconds, ranks.Truth(1, 0), 100e-6);
  EXPECT_LT(clock.Offset(1, 0).error, 200e-6);
}

// 50 us a second apart, a meeting each 0.3 s, for an hour.
TEST(RankClockTest, FollowsClocksThatDrift) {
  MeetingRanks ranks({0.0, 10.0}, {0.0, 50e-6}, 50e-6);
  RankClock clock(2);
  for (int i = 0; i < 12000; ++i) {
    clock.Add(ranks.Meet(0.01));
    ranks.Pass(0.3);
    if (i > 64) {
      ASSERT_NEAR(clock.Offset(1, 0).seconds, ranks.Truth(1, 0), 2e-3) << i;
    }
  }
}

PartTimes Parts(double start, double data, double compute, double finish, double exchange) {
  PartTimes parts;
  parts.in[static_cast<size_t>(StepPart::kStart)] = start;
  parts.in[static_cast<size_t>(StepPart::kData)] = data;
  parts.in[static_cast<size_t>(StepPart::kCompute)] = compute;
  parts.in[static_cast<size_t>(StepPart::kFinish)] = finish;
  parts.in[static_cast<size_t>(StepPart::kExchange)] = exchange;
  parts.in[static_cast<size_t>(StepPart::kAverage)] = 0.5;
  parts.in[static_cast<size_t>(StepPart::kUpdate)] = 2.0;
  parts.in[static_cast<size_t>(StepPart::kOther)] = 0.25;
  return parts;
}

double Sum(const StepTimes& times) {
  return times.data + times.compute + times.exposed + times.wait + times.update + times.other;
}

// Rank 0 is done at 11, rank 1 at 15 on its own clock, which is 1 ahead; the sums end at 17, the
// exchange at 18. Rank 0's thread was in sums for 9 seconds, of which it waited 5 for rank 1.
TEST(SplitStepTest, TellsCommunicationFromWaiting) {
  PartTimes parts = Parts(1.0, 2.0, 8.0, 6.0, 1.0);
  parts.blocked[static_cast<size_t>(StepPart::kStart)] = 0.75;
  const std::vector<TimeShare> shares = {{.arrived = 11.0, .start_blocked = 0.75, .summing = 9.0},
                                         {.arrived = 15.0, .start_blocked = 0.25, .summing = 4.0}};
  const std::vector<double> arrivals = Arrivals(shares, std::vector<double>{0.0, 1.0});
  EXPECT_THAT(arrivals, ElementsAre(11.0, 14.0));
  const StepTimes times = SplitStep(parts, shares, arrivals, 0, 3.0);
  EXPECT_DOUBLE_EQ(times.wall, 20.75);
  EXPECT_DOUBLE_EQ(Sum(times), times.wall);
  EXPECT_DOUBLE_EQ(times.data, 2.0);
  EXPECT_DOUBLE_EQ(times.compute, 8.0);
  EXPECT_DOUBLE_EQ(times.wait, 3.0 + 0.5);
  EXPECT_DOUBLE_EQ(times.exposed, 0.25 + 3.0 + 1.0 + 0.5);  // start, sums, exchange, statistics
  EXPECT_DOUBLE_EQ(times.update, 2.0);
  EXPECT_DOUBLE_EQ(times.other, 0.25 + 0.25);
  EXPECT_DOUBLE_EQ(times.sums_late, 3.0);
  EXPECT_DOUBLE_EQ(times.hidden, 1.0);  // a sum takes 4 at best, 3 of it were waited for
  EXPECT_DOUBLE_EQ(times.hidden_share(), 0.25);
}

// Whoever is last waits for nobody; a clock that is a little wrong makes no wait longer than the
// time that there was to wait in.
TEST(SplitStepTest, NobodyWaitsLongerThanHeWasBlocked) {
  const std::vector<TimeShare> shares(2);
  const PartTimes parts = Parts(0.0, 1.0, 1.0, 0.5, 0.25);
  EXPECT_EQ(SplitStep(parts, shares, std::vector<double>{3.0, 2.0}, 0, 0.0).wait, 0.0);
  const StepTimes far = SplitStep(parts, shares, std::vector<double>{0.0, 20.0}, 0, 0.0);
  EXPECT_DOUBLE_EQ(far.wait, 0.75);
  EXPECT_DOUBLE_EQ(Sum(far), far.wall);
  EXPECT_EQ(far.hidden_share(), 0.0);
}

// Ranks that meet in the middle of a step end it together: who was blocked least was last. What was
// not beside computation counts as late.
TEST(SplitStepTest, FindsTheLastWhereRanksMeetInTheMiddle) {
  PartTimes parts = Parts(0.0, 1.0, 9.0, 0.0, 0.5);
  parts.blocked[static_cast<size_t>(StepPart::kCompute)] = 4.0;
  const std::vector<TimeShare> shares = {{.arrived = 10.0, .inside_blocked = 4.0, .summing = 6.0},
                                         {.arrived = 10.0, .inside_blocked = 1.0, .summing = 5.0}};
  const std::vector<double> arrivals = Arrivals(shares, std::vector<double>{0.0, 0.0});
  const StepTimes times = SplitStep(parts, shares, arrivals, 0, 1.5);
  EXPECT_DOUBLE_EQ(times.hidden, 1.5);
  EXPECT_DOUBLE_EQ(times.sums_late, 3.5);
  EXPECT_DOUBLE_EQ(times.compute, 5.0);
  EXPECT_DOUBLE_EQ(times.wait, 3.0);
  EXPECT_DOUBLE_EQ(times.exposed, 1.0 + 0.5 + 0.5);
  EXPECT_DOUBLE_EQ(Sum(times), times.wall);
}

TEST(OverlapTest, CountsWhatBothLast) {
  const std::vector<SumTime> sums = {{.begin = 1.0, .end = 2.0}, {.begin = 3.0, .end = 6.0}};
  EXPECT_DOUBLE_EQ(Overlap(sums, 1.5, 4.0), 1.5);
  EXPECT_DOUBLE_EQ(Overlap(sums, 7.0, 9.0), 0.0);
  const std::vector<TimeSpan> blocked = {{1.75, 2.5}, {3.5, 3.75}, {7.0, 8.0}};
  EXPECT_DOUBLE_EQ(OverlapBeside(sums, blocked, 1.5, 4.0), 1.0);
  EXPECT_DOUBLE_EQ(OverlapBeside(sums, {}, 1.5, 4.0), 1.5);
  EXPECT_DOUBLE_EQ(Total(sums), 4.0);
}

TEST(LatenessTest, IsAgainstTheMedianOfTheOthers) {
  EXPECT_THAT(Lateness(std::vector<double>{5.0}), ElementsAre(0.0));
  EXPECT_THAT(Lateness(std::vector<double>{5.0, 8.0}), ElementsAre(-3.0, 3.0));
  EXPECT_THAT(Lateness(std::vector<double>{1.0, 9.0, 2.0, 3.0}),
              ElementsAre(-2.0, 7.0, -1.0, DoubleNear(1.0, 1e-12)));
  EXPECT_THAT(Lateness(std::vector<double>{4.0, 4.0, 1.0}), ElementsAre(1.5, 1.5, -3.0));
}

}  // namespace
}  // namespace lockstep
