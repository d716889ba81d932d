#include "tools/train_options.h"

#include <gtest/gtest.h>

#include <map>

#include "kernels/error.h"

namespace lockstep::tools {
namespace {

TEST(CheckpointIntervalTest, NumbersAreStepsAndUnitsMakeThemTimes) {
  EXPECT_EQ(ParseCheckpointInterval("500").iterations, 500);
  EXPECT_EQ(ParseCheckpointInterval("500").seconds, 0.0);
  for (const auto& [text, seconds] : std::map<std::string, double>{{"30s", 30.0},
                                                                   {"0.25s", 0.25},
                                                                   {"10min", 600.0},
                                                                   {"10m", 600.0},
                                                                   {"1.5min", 90.0},
                                                                   {"1h", 3600.0},
                                                                   {"0.5h", 1800.0}}) {
    EXPECT_EQ(ParseCheckpointInterval(text).seconds, seconds) << text;
    EXPECT_EQ(ParseCheckpointInterval(text).iterations, 0) << text;
  }
  EXPECT_EQ(ParseCheckpointInterval("").iterations, 0);  // once an epoch
  EXPECT_EQ(ParseCheckpointInterval("").seconds, 0.0);
}

TEST(CheckpointIntervalTest, NothingElseIsOne) {
  for (const char* text : {"0", "0s", "-1", "-1s", "1.5", "s", "1d", "1hour", "1H", "1 h",
                           "1h30min", "1.2.3s", "1e3s", "nan", "often"}) {
    EXPECT_THROW(ParseCheckpointInterval(text), ConfigError) << text;
  }
}

}  // namespace
}  // namespace lockstep::tools
