#include "tools/rank_log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "engine/train/host_name.h"
#include "tests/temporary_directory.h"

namespace lockstep::tools {
namespace {

using ::testing::EndsWith;

class RankLogTest : public ::testing::Test {
 protected:
  const TemporaryDirectory scratch_;
};

TEST_F(RankLogTest, BeginsAnewAndSaysWhereItRuns) {
  const std::string path = scratch_ / "new/out/log-rank-3.txt";
  for (int run = 0; run < 2; ++run) {
    const RankLog log(scratch_ / "new/out", 3, 8);
    Console(log.fd(), Console::Kind::kNoTerminal, RankLog::kMostBytes).Write("a line\n");
    log.End("the end");
    EXPECT_EQ(ReadFile(path), "# rank 3 of 8 at " + HostName() + ", process " +
                                  std::to_string(::getpid()) + "\na line\nthe end\n");
  }
}

TEST_F(RankLogTest, TheEndIsWrittenBeyondTheBound) {
  const RankLog log(scratch_.path(), 1, 2);
  Console console(log.fd(), Console::Kind::kNoTerminal, 10);
  console.Write("more than ten bytes\n");
  log.End("the end");
  EXPECT_THAT(ReadFile(scratch_ / "log-rank-1.txt"),
              EndsWith("\n# what follows is left out\nthe end\n"));
}

TEST_F(RankLogTest, WhatIsNoFileIsLeftOut) {
  EXPECT_EQ(RankLog("", 1, 2).fd(), Console::kNowhere);
  std::filesystem::create_directory(scratch_ / "log-rank-1.txt");
  EXPECT_EQ(RankLog(scratch_.path(), 1, 2).fd(), Console::kNowhere);
  scratch_.Write("victim", "");
  std::filesystem::create_symlink(scratch_ / "victim", scratch_ / "log-rank-2.txt");
  RankLog(scratch_.path(), 2, 4).End("the end");
  EXPECT_EQ(ReadFile(scratch_ / "victim"), "");
  // A pipe with a reader that never reads: its writer would wait for ever.
  const std::string pipe = scratch_ / "log-rank-3.txt";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const FileDescriptor reader(::open(pipe.c_str(), O_RDONLY | O_NONBLOCK));
  EXPECT_EQ(RankLog(scratch_.path(), 3, 4).fd(), Console::kNowhere);
}

}  // namespace
}  // namespace lockstep::tools
