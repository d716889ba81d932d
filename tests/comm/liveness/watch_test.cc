#include <gtest/gtest.h>

#include "comm/liveness/watch_internal.h"

namespace lockstep::liveness {
namespace {

// Four ranks, 1 is the deputy. Looks every 100 ms; 1 s of silence is too much.
class WatchTest : public testing::Test {
 protected:
  static constexpr Milliseconds kTick{100}, kSilence{1000}, kPatience{300};

  explicit WatchTest(int rank = 0) { Be(rank); }
  void Be(int rank) {
    star_ = {.rank = rank, .size = 4, .deputy = 1};
    watch_.emplace(star_, Watch::Limits{.silence = kSilence, .patience = kPatience, .tick = kTick},
                   now_);
    HearAll();
  }
  void HearAll(int except = -1) {
    for (int rank = 0; rank < 4; ++rank) {
      if (star_.Watches(rank) && rank != except) watch_->Heard(rank, now_);
    }
  }
  // Ticks in which all but `except` are heard, until something is found or `limit` has passed.
  std::optional<Finding> Pass(Milliseconds limit, int except = -1) {
    const Clock::time_point start = now_;
    while (now_ - start < limit) {
      now_ += kTick;
      HearAll(except);
      if (auto finding = watch_->Look(now_)) return finding;
    }
    return std::nullopt;
  }
  Milliseconds Since(Clock::time_point start) const {
    return std::chrono::duration_cast<Milliseconds>(now_ - start);
  }

  Clock::time_point now_{};
  Star star_;
  std::optional<Watch> watch_;
};

TEST_F(WatchTest, NobodyIsLostWhileAllAreHeard) { EXPECT_FALSE(Pass(Milliseconds(60000))); }

TEST_F(WatchTest, RankZeroSaysAtOnceWhoHasDied) {
  watch_->Closed(3);
  const auto finding = watch_->Look(now_);
  ASSERT_TRUE(finding);
  EXPECT_EQ(finding->rank, 3);
  EXPECT_EQ(finding->how, RankLost::How::kDied);
}

TEST_F(WatchTest, SilenceIsALossWhenItIsLong) {
  EXPECT_FALSE(Pass(kSilence - 2 * kTick, 2));
  watch_->Heard(2, now_);
  const Clock::time_point start = now_;
  const auto finding = Pass(2 * kSilence, 2);
  ASSERT_TRUE(finding);
  EXPECT_EQ(finding->rank, 2);
  EXPECT_EQ(finding->how, RankLost::How::kSilent);
  EXPECT_GE(finding->silent, kSilence);
  EXPECT_EQ(Since(start), kSilence);
}

TEST_F(WatchTest, WhoHasLeftIsNotMissed) {
  watch_->Left(2);
  watch_->Closed(2);
  EXPECT_FALSE(Pass(5 * kSilence, 2));
}

// A process that was stopped, or its whole machine, heard nobody meanwhile.
TEST_F(WatchTest, OwnSleepIsNobodysSilence) {
  for (int i = 0; i < 3; ++i) {
    now_ += 100 * kSilence;
    EXPECT_FALSE(watch_->Look(now_));
    EXPECT_FALSE(Pass(kSilence / 2, 2));
    watch_->Heard(2, now_);
  }
  EXPECT_TRUE(Pass(2 * kSilence, 2));
}

TEST_F(WatchTest, TheDeputyGivesRankZeroTimeToSpeak) {
  Be(1);
  watch_->Closed(3);
  const Clock::time_point start = now_;
  EXPECT_FALSE(watch_->Look(now_));
  ASSERT_TRUE(Pass(10 * kPatience));
  EXPECT_GE(Since(start), kPatience);
  EXPECT_LE(Since(start), kPatience + 2 * kTick);
}

// Who looks at other moments than rank 0 does gives it time to speak first.
TEST_F(WatchTest, TheDeputyGivesRankZeroATickMoreForSilence) {
  Be(1);
  const Clock::time_point start = now_;
  ASSERT_TRUE(Pass(2 * kSilence, 3));
  EXPECT_GE(Since(start), kSilence + kPatience + kTick);
  EXPECT_LE(Since(start), kSilence + kPatience + 2 * kTick);
}

TEST_F(WatchTest, OthersGiveTheHubsATickMoreForSilenceToo) {
  Be(3);
  const Clock::time_point start = now_;
  const auto finding = Pass(2 * kSilence, 0);
  ASSERT_TRUE(finding);
  EXPECT_EQ(finding->rank, 0);
  EXPECT_GE(Since(start), kSilence + kPatience + kTick);
}

// Each loss is waited for as long as it takes itself.
TEST_F(WatchTest, ASilentRankDoesNotHoldBackADeadOne) {
  Be(1);
  EXPECT_FALSE(Pass(kSilence, 2));
  watch_->Closed(3);
  const Clock::time_point start = now_;
  std::optional<Finding> finding = watch_->Look(now_);
  if (!finding) finding = Pass(kPatience, 2);
  ASSERT_TRUE(finding);
  EXPECT_EQ(finding->rank, 3);
  EXPECT_EQ(Since(start), kPatience);
}

TEST_F(WatchTest, OthersThanTheFirstArePassedOverWhileItFinishesAlone) {
  for (const int rank : {0, 1, 3}) {
    Be(rank);
    watch_->WatchFirstOnly(true);
    watch_->Closed(rank == 1 ? 3 : 1);
    EXPECT_FALSE(Pass(3 * kSilence, 2)) << rank;
    if (rank != 0) {
      EXPECT_EQ(Pass(3 * kSilence, 0).value_or(Finding{}).rank, 0) << rank;
      continue;
    }
    watch_->WatchFirstOnly(false);
    const auto finding = watch_->Look(now_);
    ASSERT_TRUE(finding);
    EXPECT_EQ(finding->rank, 1);
  }
}

TEST_F(WatchTest, SilenceIsCountedFromWhenARankWasHeard) {
  EXPECT_FALSE(Pass(5 * kTick));
  now_ += kTick / 2;
  watch_->Heard(2, now_);
  const Clock::time_point start = now_;
  const auto finding = Pass(2 * kSilence, 2);
  ASSERT_TRUE(finding);
  EXPECT_GE(Since(start), kSilence);
  EXPECT_LE(finding->silent, Since(start));
}

TEST_F(WatchTest, TheDeputySaysAtOnceThatRankZeroIsLost) {
  Be(1);
  watch_->Closed(0);
  const auto finding = watch_->Look(now_);
  ASSERT_TRUE(finding);
  EXPECT_EQ(finding->rank, 0);
}

// Who has said goodbye does not speak any more either.
TEST_F(WatchTest, TheDeputySpeaksAtOnceWhenRankZeroHasLeft) {
  Be(1);
  watch_->Left(0);
  watch_->Closed(3);
  ASSERT_TRUE(watch_->Look(now_));
}

TEST_F(WatchTest, OthersSpeakAtOnceOnlyWhenBothHubsAreLost) {
  Be(3);
  EXPECT_FALSE(star_.Watches(2));
  watch_->Closed(0);
  EXPECT_FALSE(watch_->Look(now_));
  watch_->Closed(1);
  const auto finding = watch_->Look(now_);
  ASSERT_TRUE(finding);
  EXPECT_EQ(finding->rank, 0);
}

TEST_F(WatchTest, WhenTheHubsHaveLeftNobodyIsMissed) {
  Be(2);
  for (const int hub : {0, 1}) {
    watch_->Left(hub);
    watch_->Closed(hub);
  }
  EXPECT_FALSE(Pass(5 * kSilence));
}

TEST_F(WatchTest, WhoIsHeardAgainBeforeAnybodySpokeIsNotLost) {
  Be(2);
  EXPECT_FALSE(Pass(kSilence + kPatience / 2, 0));
  EXPECT_FALSE(Pass(10 * kSilence));
}

TEST(Star, EachConnectionHasOneCaller) {
  for (int size = 2; size < 6; ++size) {
    for (int deputy = 1; deputy < size; ++deputy) {
      for (int a = 0; a < size; ++a) {
        for (int b = 0; b < size; ++b) {
          const Star of_a{.rank = a, .size = size, .deputy = deputy};
          const Star of_b{.rank = b, .size = size, .deputy = deputy};
          EXPECT_EQ(of_a.Watches(b), of_b.Watches(a));
          EXPECT_EQ(of_a.Watches(b), of_a.Calls(b) != of_b.Calls(a));
        }
      }
    }
  }
}

}  // namespace
}  // namespace lockstep::liveness
