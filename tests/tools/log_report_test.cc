#include "tools/log_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/error.h"
#include "tests/temporary_directory.h"
#include "tests/tools/captures.h"

namespace lockstep::tools {
namespace {

// Expected: json.dumps(..., indent=4) of CPython 3.11, but null for what JSON has no number for.
TEST(LogJsonTest, IsWhatPythonDumps) {
  LogEntry entry;
  entry.Add("a", 1e16);
  entry.Add("b", std::nan(""));
  entry.Add("c", -std::numeric_limits<double>::infinity());
  entry.Add("d", int64_t{3});
  entry.Add("\xc3\xa9\"", 0.1);
  EXPECT_EQ(LogJson(std::vector<LogEntry>{entry, {}}),
            "[\n    {\n        \"a\": 1e+16,\n        \"b\": null,\n        \"c\": null,\n"
            "        \"d\": 3,\n        \"\\u00e9\\\"\": 0.1\n    },\n    {}\n]");
  EXPECT_EQ(LogJson({}), "[]");
}

TEST(LogJsonTest, ARealLogOfChainerComesBackByteForByte) {
  LOCKSTEP_NEEDS_FIXTURE(path, "chainer/snapshot/log");
  const std::string log = ReadFile(path);
  const std::vector<LogEntry> entries = ParseLog(log, path);
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(AsDouble(*entries[1].Find("main/loss")), 0.36435839533805847);
  EXPECT_EQ(LogJson(entries), log);
}

TEST(ParseLogTest, ReadsBackWhatWasWritten) {
  LogEntry entry;
  entry.Add("nan", std::nan(""));
  entry.Add("inf", -std::numeric_limits<double>::infinity());
  entry.Add("third", 1.0 / 3);
  entry.Add("whole", 20.0);
  entry.Add("count", std::numeric_limits<int64_t>::max());
  entry.Add("text", "a\"b");
  const std::vector<LogEntry> entries{entry, entry};
  const std::vector<LogEntry> back = ParseLog(LogJson(entries), "here");
  ASSERT_EQ(back.size(), 2u);
  EXPECT_TRUE(std::isnan(AsDouble(*back[0].Find("nan"))));
  EXPECT_TRUE(std::isnan(AsDouble(*back[0].Find("inf"))));
  EXPECT_EQ(*back[0].Find("third"), *entry.Find("third"));
  EXPECT_EQ(*back[0].Find("whole"), LogValue(20.0));
  EXPECT_EQ(*back[0].Find("count"), *entry.Find("count"));
  EXPECT_EQ(*back[0].Find("text"), LogValue("a\"b"));
  EXPECT_TRUE(std::isnan(AsDouble(*back[0].Find("text"))));
  EXPECT_EQ(back[0].Find("other"), nullptr);
}

TEST(ParseLogTest, ReadsTheNaNAndInfinityOfPython) {
  const auto entries = ParseLog("[{\"a\": NaN, \"b\": -Infinity}]", "here");
  EXPECT_TRUE(std::isnan(AsDouble(*entries[0].Find("a"))));
  EXPECT_EQ(AsDouble(*entries[0].Find("b")), -std::numeric_limits<double>::infinity());
}

TEST(ParseLogTest, WhatIsNoLogIsAnError) {
  for (const char* text : {"", "{}", "[1]", "[{\"a\": [1]}]", "[{\"a\": 1}"}) {
    EXPECT_THROW(ParseLog(text, "here"), ConfigError) << text;
  }
}

TEST(LogReportTest, TheFileIsWholeAfterEachEntry) {
  const TemporaryDirectory dir;
  LogReport report(dir / "log");
  EXPECT_FALSE(std::filesystem::exists(dir / "log"));
  for (int64_t epoch = 1; epoch <= 3; ++epoch) {
    LogEntry entry;
    entry.Add("main/loss", static_cast<double>(0.1f));
    entry.Add("epoch", epoch);
    report.Append(entry);
    EXPECT_EQ(ParseLog(ReadFile(dir / "log"), "log").size(), static_cast<size_t>(epoch));
  }
  EXPECT_THAT(ReadFile(dir / "log"), ::testing::HasSubstr("\"main/loss\": 0.10000000149011612,"));
}

TEST(LogReportTest, AResumedLogGoesOn) {
  const TemporaryDirectory dir;
  LogEntry entry;
  entry.Add("epoch", int64_t{1});
  LogReport report(dir / "log");
  report.Restore({entry});
  report.Append(entry);
  EXPECT_EQ(ParseLog(ReadFile(dir / "log"), "log").size(), 2u);
}

TEST(LogReportTest, APlaceThatCannotBeWrittenIsAnError) {
  EXPECT_THROW(LogReport("/nonexistent/log").Append({}), IoError);
}

}  // namespace
}  // namespace lockstep::tools
