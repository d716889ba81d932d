#include "tools/early_stopping.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace lockstep::tools {
namespace {

using ::testing::HasSubstr;

// A log whose entries have these losses; accuracy is the loss with its sign turned.
class EarlyStoppingTest : public ::testing::Test {
 protected:
  void Log(const std::vector<double>& losses) {
    for (const double loss : losses) {
      LogEntry entry;
      entry.Add("main/loss", loss);
      entry.Add("main/accuracy", -loss);
      entry.Add("epoch", std::ssize(log_) + 1);
      log_.push_back(entry);
    }
  }
  // What it says behind the log so far.
  bool Stops(EarlyStoppingOptions options) {
    EarlyStopping early(std::move(options), &log_);
    early.Restore({});
    reason_ = early.Reason();
    return early.wants_to_stop();
  }

  std::vector<LogEntry> log_;
  std::string reason_;
};

TEST_F(EarlyStoppingTest, StopsBehindAsManyEntriesWithoutABetterOne) {
  Log({5.0, 4.0, 4.5, 4.0});
  EXPECT_FALSE(Stops({.patience = 3}));
  EXPECT_TRUE(Stops({.patience = 2}));
  EXPECT_EQ(reason_, "main/loss was no better than 4 of epoch 2 for 2 epochs");
  Log({3.9});
  EXPECT_FALSE(Stops({.patience = 1}));
}

TEST_F(EarlyStoppingTest, AccuracyGrowsUnlessToldOtherwise) {
  Log({5.0, 4.0, 3.0});
  EXPECT_FALSE(Stops({.monitor = "main/accuracy", .patience = 1}));
  EXPECT_FALSE(Stops({.monitor = "main/accuracy", .mode = "max", .patience = 1}));
  EXPECT_TRUE(Stops({.monitor = "main/accuracy", .mode = "min", .patience = 2}));
  EXPECT_FALSE(Stops({.monitor = "main/loss", .mode = "min", .patience = 1}));
  EXPECT_TRUE(Stops({.monitor = "main/loss", .mode = "max", .patience = 2}));
}

TEST_F(EarlyStoppingTest, NumbersThatAreNoneAreNoBetter) {
  Log({std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()});
  EXPECT_TRUE(Stops({.patience = 2}));
  EXPECT_EQ(reason_, "main/loss was no number in 2 epochs");
  Log({7.0});
  EXPECT_FALSE(Stops({.patience = 1}));
  Log({-std::numeric_limits<double>::infinity()});
  EXPECT_TRUE(Stops({.patience = 1}));
  EXPECT_THAT(reason_, HasSubstr("than 7 of epoch 3"));
}

// One whose evaluation was given up, until it is made up for.
TEST_F(EarlyStoppingTest, EntriesWithoutTheValueDoNotCount) {
  Log({5.0, 5.0, 5.0});
  EXPECT_FALSE(Stops({.monitor = "validation/main/loss", .patience = 1}));
  for (LogEntry& entry : log_) entry.Add("validation/main/loss", 1.0);
  EXPECT_TRUE(Stops({.monitor = "validation/main/loss", .patience = 2}));
}

}  // namespace
}  // namespace lockstep::tools
