// Disks that are full or read-only, as small file systems mounted for the test alone.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <functional>
#include <string>

#include "engine/train/checkpoint_store.h"
#include "engine/train/publish.h"
#include "kernels/error.h"
#include "tests/fault/saved_state.h"
#include "tests/temporary_directory.h"

namespace lockstep {
namespace {

using testing::NewestIn;
using testing::StateOf;

constexpr int kNoNamespace = 77;

bool EnterMountNamespace() {
  const uid_t user = ::geteuid();
  if (user == 0) {
    if (::unshare(CLONE_NEWNS) != 0) return false;
  } else {
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
    std::ofstream("/proc/self/setgroups") << "deny";
    std::ofstream("/proc/self/uid_map") << "0 " << user << " 1";
  }
  return ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

// Runs the checks of `body` in a child whose mounts nobody else sees.
void InMountNamespace(const std::function<void()>& body) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    if (!EnterMountNamespace()) ::_exit(kNoNamespace);
    body();
    std::fflush(nullptr);
    ::_exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == kNoNamespace) GTEST_SKIP() << "no mount namespaces here";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

template <typename Action>
Error ErrorOf(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  return Error(ExitCode::kOk, "");
}

TEST(FullDisk, IsA74WithFiguresAndKeepsWhatWasSaved) {
  TemporaryDirectory dir;
  InMountNamespace([&dir] {
    ASSERT_EQ(::mount("none", dir.path().c_str(), "tmpfs", 0, "size=1m"), 0);
    CheckpointStore store(dir.path(), {2, [](const std::string&) {}});
    constexpr int64_t kElements = 25000;  // two arrays of 200,000 bytes: room for two states
    store.Save(StateOf(10, kElements), {10});
    store.Save(StateOf(20, kElements), {20});
    const Error error = ErrorOf([&] { store.Save(StateOf(30, kElements), {30}); });
    EXPECT_EQ(error.code(), ExitCode::kIo);
    EXPECT_THAT(error.what(), ::testing::MatchesRegex(".*needed 40[0-9]+ bytes, free [0-9]+.*"));
    EXPECT_EQ(dir.Names().size(), 4U);
    EXPECT_EQ(NewestIn(dir.path()), 20);
    store.Save(StateOf(40, 100), {40});  // the job may go on
    EXPECT_EQ(NewestIn(dir.path()), 40);
  });
}

TEST(FullDisk, IsFoundWithoutAReservationToo) {
  TemporaryDirectory dir;
  InMountNamespace([&dir] {
    ASSERT_EQ(::mount("none", dir.path().c_str(), "tmpfs", 0, "size=256k"), 0);
    const Error error = ErrorOf([&dir] {
      Publisher file(dir / "model");
      const std::string block(10007, 'x');
      for (int i = 0; i < 100; ++i) file.Write(block.data(), block.size());
    });
    EXPECT_EQ(error.code(), ExitCode::kIo);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("needed "));
    EXPECT_TRUE(dir.Names().empty());
  });
}

TEST(ReadOnlyDirectory, Is73BeforeAnythingIsDone) {
  TemporaryDirectory dir;
  CheckWritableDirectory(dir.path());
  InMountNamespace([&dir] {
    const char* path = dir.path().c_str();
    ASSERT_EQ(::mount(path, path, nullptr, MS_BIND, nullptr), 0);
    ASSERT_EQ(::mount(nullptr, path, nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr), 0);
    const Error error = ErrorOf([&dir] { CheckWritableDirectory(dir.path()); });
    EXPECT_EQ(error.code(), ExitCode::kCannotCreate);
    EXPECT_THAT(error.what(), ::testing::HasSubstr(dir.path()));
    EXPECT_EQ(ErrorOf([&dir] { Publish(dir / "model", std::string("x")); }).code(),
              ExitCode::kCannotCreate);
    EXPECT_EQ(ErrorOf([&dir] { CheckWritableDirectory(dir / "below"); }).code(),
              ExitCode::kCannotCreate);
  });
}

TEST(ForbiddenDirectory, Is77) {
  if (::geteuid() == 0) {
    // Root may write anywhere: drop to nobody in a child.
    TemporaryDirectory dir;
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
      if (::setuid(65534) != 0) ::_exit(1);
      ::_exit(static_cast<int>(ErrorOf([&dir] { CheckWritableDirectory(dir / "x"); }).code()));
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 77);
    return;
  }
  EXPECT_EQ(ErrorOf([] { CheckWritableDirectory("/lockstep-forbidden"); }).code(),
            ExitCode::kNoPermission);
}

}  // namespace
}  // namespace lockstep
