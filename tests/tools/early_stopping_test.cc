#include "tools/early_stopping.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "comm/comm_group.h"
#include "engine/train/trainer.h"
#include "tests/comm/ranks.h"
#include "tests/comm/training_job.h"

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

// Logs a loss that only this rank has.
class LocalLog : public Extension {
 public:
  LocalLog(bool improves, std::vector<LogEntry>* log) : improves_(improves), log_(log) {}
  std::string name() const override { return "local_log"; }
  Trigger trigger() const override { return Trigger::Epochs(1); }
  void Invoke(Trainer& trainer) override {
    const int64_t epoch = trainer.clock().epoch;
    LogEntry entry;
    entry.Add("main/loss", static_cast<double>(improves_ ? -epoch : epoch));
    entry.Add("epoch", epoch);
    log_->push_back(entry);
  }

 private:
  bool improves_;
  std::vector<LogEntry>* log_;
};

// Ranks that did not ask each other would end behind different steps, or wait for one that is gone.
TEST(EarlyStoppingOfRanks, OneThatWantsToStopStopsAllAfterTheSameStep) {
  std::array<bool, 3> wanted = {};
  std::array<testing::JobResult, 3> results;
  testing::OnRanks(3, [&](Communicator& communicator) {
    const auto rank = static_cast<size_t>(communicator.rank());
    CommGroup group(communicator);
    std::vector<LogEntry> log;
    const EarlyStopping* early = nullptr;
    testing::JobOptions job{.epochs = 20};
    job.prepare = [&](Trainer& trainer) {
      auto stopping = std::make_unique<EarlyStopping>(EarlyStoppingOptions{.patience = 2}, &log);
      early = stopping.get();
      trainer.Extend(std::make_unique<LocalLog>(rank != 1, &log));
      trainer.Extend(std::move(stopping));
    };
    job.should_stop = [&] { return wanted[rank] = early->wants_to_stop(); };
    results[rank] = testing::RunJob(job, &group);
  });
  EXPECT_THAT(wanted, ::testing::ElementsAre(false, true, false));
  for (const testing::JobResult& rank : results) {
    EXPECT_TRUE(rank.stopped);
    EXPECT_EQ(rank.clock.iteration, 9);  // 3 epochs of 3 batches
    EXPECT_EQ(rank.values, results[0].values);
  }
}

}  // namespace
}  // namespace lockstep::tools
