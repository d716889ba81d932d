#include "tools/step_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/error.h"

namespace lockstep::tools {
namespace {

using testing::HasSubstr;

// 10 steps of 100 ms on three ranks, of which the others wait `late` ms a step for rank 1.
StepSums Sums(double late) {
  StepSums sums{.steps = 10, .ranks = std::vector<StepTimes>(3)};
  for (size_t rank = 0; rank < 3; ++rank) {
    StepTimes& times = sums.ranks[rank];
    times.wall = 1.0;
    times.compute = rank == 1 ? 0.7 : 0.5;
    times.wait = rank == 1 ? 0.0 : 10e-3 * late;
    times.exposed = 0.1;
    times.sums_late = 0.05;
    times.hidden = 0.2;
    times.other = times.wall - times.compute - times.wait - times.exposed;
    sums.waited_for.push_back({0.0, times.wait, 0.0});
  }
  sums.lateness = {-10e-3 * late, 10e-3 * late, -10e-3 * late};
  return sums;
}

const std::vector<std::string> kHosts = {"a", "b.example", "c"};

TEST(StepReportTest, NamesWhoComesLate) {
  EXPECT_EQ(StragglerLine(Sums(34.0), kHosts),
            "rank 1 on b.example arrives 34 ms late on average, 34 % of a step: the others wait "
            "for it");
  EXPECT_NE(StragglerLine(Sums(5.5), kHosts), "");
  EXPECT_EQ(StragglerLine(Sums(4.9), kHosts), "");  // neither 5 ms nor 5 %
  StepSums long_steps = Sums(40.0);
  for (StepTimes& times : long_steps.ranks) times.wall = 10.0;
  EXPECT_EQ(StragglerLine(long_steps, kHosts), "");  // 4 % of a step
  EXPECT_EQ(StragglerLine({}, {}), "");
}

TEST(StepReportTest, TableHasARowARank) {
  const std::string table = StepTable(Sums(20.0));
  EXPECT_THAT(table, HasSubstr("mean of 10;"));
  EXPECT_THAT(table, HasSubstr("#    0    100.00      0.00     50.00     20.00     10.00      "
                               "20.00 (1)      0.00     20.00\n"));
  EXPECT_THAT(table, HasSubstr("#    1    100.00      0.00     70.00     20.00     10.00       "
                               "    0.00      0.00     20.00\n"));
  EXPECT_THAT(table, HasSubstr("# 80 % of the time that sums of gradients took was hidden"));
}

TEST(StepReportTest, JsonHasAnObjectARank) {
  const std::string json = StepJson(Sums(20.0), {101.0, 102.0, 103.0});
  EXPECT_THAT(json, testing::StartsWith(
                        R"([{"timed_ms": 101.00000, "step_ms": 100.00000, "data_ms": 0.00000, )"
                        R"("compute_ms": 50.00000, "hidden_ms": 20.00000, "exposed_ms": 10.00000, )"
                        R"("wait_ms": 20.00000, "update_ms": 0.00000, "other_ms": 20.00000}, )"
                        R"({"timed_ms": 102.00000, )"));
  EXPECT_THAT(json, testing::EndsWith("}]"));
}

TEST(StepReportTest, ValuesOfTheLogAddUp) {
  double parts = 0.0, step = 0.0;
  for (const auto& [key, value] : StepValues(Sums(20.0))) {
    if (key == "time/step") step = value;
    if (key != "time/step" && key != "time/hidden_communication") parts += value;
  }
  EXPECT_DOUBLE_EQ(step, 0.1);
  EXPECT_NEAR(parts, step, 1e-12);
  EXPECT_TRUE(StepValues({}).empty());
}

TEST(StepReportTest, IntervalsAddUp) {
  StepSums sums;
  sums += Sums(20.0);
  sums += Sums(40.0);
  EXPECT_EQ(sums.steps, 20);
  EXPECT_DOUBLE_EQ(sums.ranks[0].wait, 0.6);
  EXPECT_DOUBLE_EQ(sums.waited_for[2][1], 0.6);
  EXPECT_DOUBLE_EQ(sums.lateness[1], 0.6);
}

TEST(TraceStepsTest, AreTwoNumbersOrOne) {
  EXPECT_EQ(ParseTraceSteps("100-200").first_step, 100);
  EXPECT_EQ(ParseTraceSteps("100-200").last_step, 200);
  EXPECT_EQ(ParseTraceSteps("7").last_step, 7);
  EXPECT_EQ(ParseTraceSteps("").first_step, 1);
  for (const char* text : {"0-3", "5-4", "-4", "3-", "a", "1-2-3"}) {
    EXPECT_THROW(ParseTraceSteps(text), ConfigError) << text;
  }
}

TEST(TraceStepsTest, AreLookedAtWithoutATraceToo) {
  EXPECT_NO_THROW(CheckTraceOptions({}));
  EXPECT_NO_THROW(CheckTraceOptions({.trace = "t.json", .trace_steps = "100-200"}));
  EXPECT_THROW(CheckTraceOptions({.trace = "t.json", .trace_steps = "5-4"}), ConfigError);
  EXPECT_THROW(CheckTraceOptions({.trace_steps = "100-200"}), ConfigError);
}

}  // namespace
}  // namespace lockstep::tools
