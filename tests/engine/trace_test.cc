#include "engine/train/trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/error.h"
#include "tests/engine/trace_check.h"
#include "tests/temporary_directory.h"

namespace lockstep::testing {
namespace {

TraceEvent Event(TraceLog* log, const std::string& name, double begin, double end) {
  return {.begin = begin, .end = end, .step = 1, .name = log->Name(name)};
}

TEST(TraceLogTest, KeepsTheNewestEvents) {
  TraceLog log({.events = 3});
  for (int i = 0; i < 8; ++i) log.Add(Event(&log, "data", i, i + 0.5));
  ASSERT_EQ(log.Events().size(), 3U);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(log.Events()[static_cast<size_t>(i)].begin, 5.0 + i);
  EXPECT_EQ(log.dropped(), 5);
  EXPECT_EQ(log.names(), std::vector<std::string>{"data"});
}

TEST(TraceLogTest, WantsTheStepsThatWereAskedFor) {
  const TraceLog log({.first_step = 3, .last_step = 4});
  EXPECT_FALSE(log.Wants(2));
  EXPECT_TRUE(log.Wants(3));
  EXPECT_TRUE(log.Wants(4));
  EXPECT_FALSE(log.Wants(5));
}

// A correction of the clock must not make a thread do two things at once.
TEST(TraceLogTest, CutsWhatWouldBeginBeforeItsPredecessorEnds) {
  TraceLog log;
  log.Add(Event(&log, "data", 1.0, 2.0));
  log.Add(Event(&log, "update", 1.9, 3.0));
  log.Add(Event(&log, "other", 1.0, 2.5));
  EXPECT_EQ(log.Events()[1].begin, 2.0);
  EXPECT_EQ(log.Events()[2].begin, 3.0);
  EXPECT_EQ(log.Events()[2].end, 3.0);
  const double begin = log.Begin(TraceEvent::Thread::kTraining, 2.0);
  EXPECT_EQ(begin, 3.0);
  log.Add(Event(&log, "data", 2.0, 4.0));
  log.AddAround(Event(&log, "step", begin, 3.9));
  EXPECT_EQ(log.Events()[4].end, 4.0);
}

TEST(WriteTraceTest, IsWhatAViewerReads) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/trace.json";
  TraceLog log;
  TraceEvent sum = Event(&log, "sum \"of\" gradients", 100.5, 100.75);
  sum.bytes = 4096;
  sum.thread = TraceEvent::Thread::kCommunication;
  log.Add(sum);
  TraceEvent wait = Event(&log, "wait", 100.0, 100.25);
  wait.waits_for = 0;
  log.Add(wait);
  log.Add(Event(&log, "update", 100.25, 101.0));
  log.AddAround(Event(&log, "step", 100.0, 101.5));
  OneRank alone;
  WriteTrace(alone, log, "here\\there\tnow", {0.0}, path);

  const SeenTrace trace = ReadTrace(path);
  EXPECT_EQ(trace.processes.at(0), "rank 0 @ here\\there now");
  ASSERT_EQ(trace.events.size(), 4U);
  EXPECT_EQ(trace.events[0].name, "sum \"of\" gradients");
  EXPECT_EQ(trace.events[0].thread, 1);
  EXPECT_EQ(trace.events[0].args.at("bytes"), 4096);
  EXPECT_NEAR(trace.events[0].begin, 0.5, 1e-9);
  EXPECT_EQ(trace.events[1].args.at("rank"), 0);
  EXPECT_FALSE(trace.events[2].args.contains("rank"));
  EXPECT_NEAR(trace.events[3].end, 1.5, 1e-9);
}

TEST(WriteTraceTest, WithoutEventsIsATraceToo) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/trace.json";
  OneRank alone;
  WriteTrace(alone, TraceLog(), "here", {0.0}, path);
  EXPECT_TRUE(ReadTrace(path).events.empty());
  EXPECT_THROW(WriteTrace(alone, TraceLog(), "here", {0.0}, directory.path() + "/no/t"), IoError);
}

}  // namespace
}  // namespace lockstep::testing
