#include "tools/failure_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/temporary_directory.h"

namespace lockstep::tools {
namespace {

TEST(FailureFileTest, HoldsOneLine) {
  const TemporaryDirectory dir;
  EXPECT_TRUE(WriteFailureFile(dir.path(), "train.npz: member 'data'\nis missing\x1b[0m"));
  EXPECT_EQ(ReadFile(dir / "failure"), "train.npz: member 'data' is missing\\x1b[0m\n");
}

TEST(FailureFileTest, HoldsAtMostWhatThePlatformShows) {
  const TemporaryDirectory dir;
  EXPECT_TRUE(WriteFailureFile(dir.path(), std::string(5000, '\xff')));
  EXPECT_LE(ReadFile(dir / "failure").size(), 1024u);
}

TEST(FailureFileTest, TheFirstToFailWins) {
  const TemporaryDirectory dir;
  EXPECT_TRUE(WriteFailureFile(dir.path(), "first"));
  EXPECT_FALSE(WriteFailureFile(dir.path(), "second"));
  EXPECT_EQ(ReadFile(dir / "failure"), "first\n");
}

TEST(FailureFileTest, APlantedLinkIsNotFollowed) {
  const TemporaryDirectory dir;
  const std::string target = dir.Write("target", "precious");
  ASSERT_EQ(::symlink(target.c_str(), (dir / "failure").c_str()), 0);
  EXPECT_FALSE(WriteFailureFile(dir.path(), "text"));
  EXPECT_EQ(ReadFile(target), "precious");
  const TemporaryDirectory dangling;
  ASSERT_EQ(::symlink((dir / "new").c_str(), (dangling / "failure").c_str()), 0);
  EXPECT_FALSE(WriteFailureFile(dangling.path(), "text"));
  EXPECT_FALSE(std::filesystem::exists(dir / "new"));
}

TEST(FailureFileTest, AMissingDirectoryIsNoError) {
  EXPECT_FALSE(WriteFailureFile("/nonexistent/output", "text"));
  EXPECT_FALSE(WriteFailureFile("", "text"));
}

}  // namespace
}  // namespace lockstep::tools
