#include "engine/train/publish.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "kernels/error.h"
#include "tests/temporary_directory.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

void WriteFile(const fs::path& path, const std::string& text) { std::ofstream(path) << text; }

// The exit code of what `action` throws; kOk when it does not.
template <typename Action>
ExitCode CodeOf(Action action, std::string* message = nullptr) {
  try {
    action();
  } catch (const Error& error) {
    if (message != nullptr) *message = error.what();
    return error.code();
  }
  return ExitCode::kOk;
}

pid_t DeadPid() {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);
  return child;
}

TEST(Publish, PutsTheWholeFileInPlaceAndLeavesNoTemporary) {
  TemporaryDirectory dir;
  Publish(dir / "model", std::string("one"));
  Publish(dir / "model", std::string("second"));
  EXPECT_EQ(ReadFile(dir / "model"), "second");
  EXPECT_EQ(dir.Names(), std::vector<std::string>{"model"});
}

TEST(Publish, AcceptsAnEmptyFileAndARelativeName) {
  TemporaryDirectory dir;
  Publish(dir / "empty", std::string());
  EXPECT_EQ(fs::file_size(dir / "empty"), 0U);
  const fs::path before = fs::current_path();
  fs::current_path(dir.path());
  Publish("plain", std::string("x"));
  fs::current_path(before);
  EXPECT_EQ(ReadFile(dir / "plain"), "x");
}

TEST(Publish, LeavesTheOldFileUntilCommit) {
  TemporaryDirectory dir;
  Publish(dir / "model", std::string("old"));
  {
    Publisher file(dir / "model", 1 << 20);
    file.Write("new", 3);
    EXPECT_EQ(ReadFile(dir / "model"), "old");
    EXPECT_EQ(dir.Names().size(), 2U);
  }
  EXPECT_EQ(ReadFile(dir / "model"), "old");
  EXPECT_EQ(dir.Names().size(), 1U);
}

TEST(Publish, TwoFilesAreCommittedTogetherOrNeither) {
  TemporaryDirectory dir;
  Publisher first(dir / "a"), second(dir / "b");
  first.Write("one", 3);
  second.Write("two", 3);
  CommitTogether(&first, &second);
  EXPECT_EQ(ReadFile(dir / "a") + ReadFile(dir / "b"), "onetwo");
  EXPECT_EQ(dir.Names().size(), 2U);
  Publisher third(dir / "a"), fourth(dir / "b");
  third.Write("new", 3);
  fs::remove(dir / "b");
  fs::create_directory(dir / "b");  // comes in the way of the second
  EXPECT_THROW(CommitTogether(&third, &fourth), IoError);
  EXPECT_EQ(ReadFile(dir / "a"), "one");
}

TEST(Publish, AReservationDoesNotChangeTheSize) {
  TemporaryDirectory dir;
  Publisher file(dir / "model", 1 << 20);
  file.Write("abc", 3);
  file.Commit();
  struct stat info {};
  ASSERT_EQ(::stat((dir / "model").c_str(), &info), 0);
  EXPECT_EQ(info.st_size, 3);
  EXPECT_LE(info.st_blocks * 512, 64 * 1024);
}

TEST(Publish, TwoPublishersOfOneNameDoNotMeet) {
  TemporaryDirectory dir;
  Publisher first(dir / "model");
  Publisher second(dir / "model");
  first.Write("first", 5);
  second.Write("second", 6);
  second.Commit();
  first.Commit();
  EXPECT_EQ(ReadFile(dir / "model"), "first");
}

TEST(Publish, RefusesALinkADirectoryAndAMissingPlace) {
  TemporaryDirectory dir;
  WriteFile(dir / "victim", "precious");
  fs::create_symlink(dir / "victim", dir / "link");
  fs::create_symlink(dir / "nowhere", dir / "dangling");
  fs::create_directory(dir / "folder");
  ASSERT_EQ(::mkfifo((dir / "pipe").c_str(), 0600), 0);
  for (const char* name :
       {"link", "dangling", "folder", "pipe", "missing/model", "victim/model", "folder/", "."}) {
    EXPECT_EQ(CodeOf([&] { Publish(dir / name, std::string("x")); }), ExitCode::kCannotCreate)
        << name;
  }
  EXPECT_EQ(ReadFile(dir / "victim"), "precious");
  EXPECT_FALSE(fs::exists(dir / "nowhere"));
  EXPECT_EQ(dir.Names().size(), 5U);
}

TEST(Publish, IgnoresALinkPlantedAtTheTemporaryName) {
  TemporaryDirectory dir;
  WriteFile(dir / "victim", "precious");
  fs::create_symlink(dir / "victim", dir / ("model.tmp-" + std::to_string(::getpid())));
  Publish(dir / "model", std::string("x"));
  EXPECT_EQ(ReadFile(dir / "victim"), "precious");
  EXPECT_EQ(ReadFile(dir / "model"), "x");
}

// `ulimit -f`: main ignores SIGXFSZ, so that write and fallocate return EFBIG.
TEST(Publish, AFileAboveTheSizeLimitIs74AndKeepsTheOld) {
  TemporaryDirectory dir;
  Publish(dir / "model", std::string("old"));
  const auto before = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old_limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old_limit), 0);
  const rlimit small{1000, old_limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string large(5000, 'x');
  std::string message;
  const ExitCode reserved = CodeOf([&] { Publish(dir / "model", large); }, &message);
  const ExitCode written = CodeOf([&] { Publisher(dir / "model").Write(large.data(), 5000); });
  ::setrlimit(RLIMIT_FSIZE, &old_limit);
  std::signal(SIGXFSZ, before);
  EXPECT_EQ(reserved, ExitCode::kIo);
  EXPECT_EQ(written, ExitCode::kIo);
  EXPECT_NE(message.find("needed 5000 bytes"), std::string::npos) << message;
  EXPECT_EQ(ReadFile(dir / "model"), "old");
  EXPECT_EQ(dir.Names().size(), 1U);
}

TEST(Publish, WithoutDescriptorsIs71) {
  TemporaryDirectory dir;
  rlimit old_limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old_limit), 0);
  const rlimit none{0, old_limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const ExitCode code = CodeOf([&] { Publish(dir / "model", std::string("x")); });
  ::setrlimit(RLIMIT_NOFILE, &old_limit);
  EXPECT_EQ(code, ExitCode::kNoResources);
}

TEST(Publish, MessageIsOneLineWhateverTheName) {
  TemporaryDirectory dir;
  std::string message;
  CodeOf([&] { Publish(dir / "a\nb\x1b[31m/model", std::string("x")); }, &message);
  EXPECT_NE(message.find("a\\x0ab\\x1b[31m/model"), std::string::npos) << message;
  CodeOf([&] { Publish(dir / std::string(5000, 'n'), std::string("x")); }, &message);
  EXPECT_LT(message.size(), 1024U);
}

TEST(CheckPublishable, RefusesWhatPublishWouldRefuse) {
  TemporaryDirectory dir;
  CheckPublishable(dir / "absent");
  WriteFile(dir / "file", "x");
  CheckPublishable(dir / "file");
  fs::create_directory(dir / "folder");
  fs::create_symlink("file", dir / "link");
  ASSERT_EQ(::mkfifo((dir / "pipe").c_str(), 0600), 0);
  for (const char* name : {"folder", "link", "pipe", ""}) {
    EXPECT_EQ(CodeOf([&] { CheckPublishable(dir / name); }), ExitCode::kCannotCreate) << name;
  }
  EXPECT_EQ(CodeOf([&] { CheckPublishable(dir / "nowhere/file"); }), ExitCode::kCannotCreate);
  EXPECT_EQ(ReadFile(dir / "file"), "x");
}

TEST(CheckWritableDirectory, MakesMissingParentsAndLeavesThemEmpty) {
  TemporaryDirectory dir;
  CheckWritableDirectory(dir / "a/b/c/");
  CheckWritableDirectory(dir / "a/b/c");
  EXPECT_TRUE(fs::is_empty(dir / "a/b/c"));
}

TEST(CheckWritableDirectory, AFileInThePlaceIs73) {
  TemporaryDirectory dir;
  WriteFile(dir / "file", "x");
  std::string message;
  EXPECT_EQ(CodeOf([&] { CheckWritableDirectory(dir / "file"); }, &message),
            ExitCode::kCannotCreate);
  EXPECT_NE(message.find("it is a file"), std::string::npos) << message;
  EXPECT_EQ(CodeOf([&] { CheckWritableDirectory(dir / "file/below"); }), ExitCode::kCannotCreate);
  EXPECT_EQ(CodeOf([&] { CheckWritableDirectory(""); }), ExitCode::kCannotCreate);
  EXPECT_EQ(CodeOf([&] { CheckWritableDirectory("/proc/none/here"); }), ExitCode::kCannotCreate);
}

TEST(SweepTemporaries, RemovesThoseOfTheDeadOnly) {
  TemporaryDirectory dir;
  const std::string dead = std::to_string(DeadPid());
  const std::string parent = std::to_string(::getppid());
  for (int i = 0; i < 100; ++i) WriteFile(dir / (std::to_string(i) + ".tmp-" + dead), "x");
  WriteFile(dir / ("again.tmp-" + dead + "-3"), "x");
  std::vector<std::string> kept = {"a.tmp-", "a.tmp-99999999999999", "a.tmp--1", "model"};
  kept.push_back(std::string("a.tmp-").append(parent));
  kept.push_back(std::string("a.tmp-").append(dead).append("x"));
  kept.push_back(std::string("a.tmp-").append(dead).append("-"));
  kept.push_back(std::string(".tmp-").append(dead));
  for (const std::string& name : kept) WriteFile(dir / name, "x");
  fs::create_directory(dir / ("folder.tmp-" + dead));
  EXPECT_EQ(SweepTemporaries(dir.path()), 101);
  EXPECT_EQ(dir.Names().size(), kept.size() + 1);
}

// A container's process has the same pid after each restart.
TEST(SweepTemporaries, RemovesOurOwnPidsUnlessTheyAreBeingWritten) {
  TemporaryDirectory dir;
  WriteFile(dir / ("old.tmp-" + std::to_string(::getpid())), "x");
  Publisher live(dir / "model");
  live.Write("x", 1);
  EXPECT_EQ(SweepTemporaries(dir.path()), 1);
  live.Commit();
  EXPECT_EQ(dir.Names(), std::vector<std::string>{"model"});
}

}  // namespace
}  // namespace lockstep
