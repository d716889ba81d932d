// A save that is killed, or told of an error, at each of its system calls.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <set>
#include <string>

#include "engine/train/checkpoint_store.h"
#include "engine/train/publish.h"
#include "kernels/error.h"
#include "tests/fault/saved_state.h"
#include "tests/fault/syscall_tracer.h"
#include "tests/temporary_directory.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

using testing::Injection;
using testing::NewestIn;
using testing::RunTraced;
using testing::StateOf;
using testing::TraceResult;

constexpr int64_t kElements = 700;  // two arrays of 5,600 bytes
constexpr int kOther = 99;

void Ignore(const std::string&) {}

void Save(const std::string& directory, int64_t iteration) {
  CheckpointStore store(directory, {2, Ignore});
  store.Save(StateOf(iteration, kElements), {iteration});
}

// What a job would exit with.
int ExitOfSave(const std::string& directory, int64_t iteration) {
  try {
    Save(directory, iteration);
    return 0;
  } catch (const Error& error) {
    return static_cast<int>(error.code());
  } catch (...) {
    return kOther;
  }
}

int64_t Temporaries(const TemporaryDirectory& dir) {
  const auto names = dir.Names();
  return std::count_if(names.begin(), names.end(), [](const std::string& name) {
    return name.find(".tmp-") != std::string::npos;
  });
}

// A directory with the states of iterations 10 and 20, copied afresh for each trial.
class SaveFaults : public ::testing::Test {
 protected:
  void SetUp() override {
    Save(before_.path(), 10);
    Save(before_.path(), 20);
  }
  TraceResult Trial(const TemporaryDirectory& dir,
                    const std::function<Injection(int, long)>& decide) {
    fs::copy(before_.path(), dir.path());
    return RunTraced([&dir] { return ExitOfSave(dir.path(), 30); }, decide);
  }
  static bool Traceable() {
    return RunTraced([] { return 0; }, [](int, long) { return Injection{}; }).traced;
  }

  TemporaryDirectory before_;
};

TEST_F(SaveFaults, AKillBeforeEverySystemCallLeavesTheOldStateOrTheNew) {
  if (!Traceable()) GTEST_SKIP() << "ptrace is not allowed here";
  std::set<int64_t> seen;
  for (int n = 1;; ++n) {
    TemporaryDirectory dir;
    const TraceResult result = Trial(dir, [n](int index, long) {
      return Injection{index == n ? Injection::Kind::kKill : Injection::Kind::kNone};
    });
    ASSERT_EQ(result.injected, WIFSIGNALED(result.status)) << n;
    const int64_t newest = NewestIn(dir.path());
    ASSERT_TRUE(newest == 20 || newest == 30) << "call " << n << ": " << newest;
    // It never goes back: what was there stays there until the next is durable.
    ASSERT_GE(newest, seen.empty() ? 20 : *seen.rbegin()) << n;
    ASSERT_LE(Temporaries(dir), 1) << n;
    seen.insert(newest);
    ASSERT_EQ(ExitOfSave(dir.path(), 40), 0) << n;
    ASSERT_EQ(NewestIn(dir.path()), 40) << n;
    ASSERT_EQ(dir.Names().size(), 4U) << n;  // LOCK, MANIFEST and two checkpoints
    if (result.injected) continue;
    ASSERT_EQ(result.status, 0);
    std::printf("killed before each of %d system calls\n", result.calls);
    ASSERT_GT(n, 30);
    break;
  }
  EXPECT_EQ(seen, (std::set<int64_t>{20, 30}));
}

// System calls that touch files.
bool TouchesFiles(long number) {
  static const std::set<long> kCalls = {
    SYS_openat,
    SYS_read,
    SYS_pread64,
    SYS_write,
    SYS_pwrite64,
    SYS_close,
    SYS_fstat,
    SYS_newfstatat,
    SYS_fsync,
    SYS_fallocate,
    SYS_ftruncate,
    SYS_flock,
    SYS_renameat,
    SYS_renameat2,
    SYS_unlinkat,
#if defined(__x86_64__)
    SYS_open,
    SYS_stat,
    SYS_lstat,
    SYS_rename,
    SYS_unlink,
    SYS_mkdir,
#endif
    SYS_getdents64
  };
  return kCalls.contains(number);
}

// Fails call n of those `chosen` with `error`, for every n; `check` judges each trial.
class FailingCalls : public SaveFaults {
 protected:
  void FailEach(int error, const std::function<bool(long)>& chosen,
                const std::function<void(const TemporaryDirectory&, int exit)>& check) {
#if defined(__x86_64__)
    if (!Traceable()) GTEST_SKIP() << "ptrace is not allowed here";
    for (int n = 1;; ++n) {
      TemporaryDirectory dir;
      int met = 0;
      long failed = -1;
      const TraceResult result = Trial(dir, [&](int, long number) {
        if (!chosen(number) || ++met != n) return Injection{};
        failed = number;
        return Injection{Injection::Kind::kFail, error};
      });
      SCOPED_TRACE("call " + std::to_string(n) + ", number " + std::to_string(failed));
      ASSERT_TRUE(WIFEXITED(result.status)) << result.status;
      if (!result.injected) {
        ASSERT_EQ(WEXITSTATUS(result.status), 0);
        ASSERT_GT(n, 1);
        return;
      }
      check(dir, WEXITSTATUS(result.status));
      if (HasFatalFailure()) return;
      ASSERT_EQ(ExitOfSave(dir.path(), 40), 0);
      ASSERT_EQ(NewestIn(dir.path()), 40);
    }
#else
    GTEST_SKIP() << "faults are injected on x86-64 only";
#endif
  }
  static auto Only(std::set<long> numbers) {
    return [numbers](long number) { return numbers.contains(number); };
  }
};

TEST_F(FailingCalls, AnyCallThatFailsIsACodeOrASaveNeverALoss) {
  for (const int error : {EIO, EMFILE}) {
    FailEach(error, TouchesFiles, [](const TemporaryDirectory& dir, int exit) {
      const std::set<int> expected = {0, 71, 73, 74, 77};
      ASSERT_TRUE(expected.contains(exit)) << exit;
      const int64_t newest = NewestIn(dir.path());
      ASSERT_TRUE(newest == 30 || (newest == 20 && exit != 0)) << newest << " after " << exit;
      ASSERT_LE(Temporaries(dir), 1);  // where the removal is what failed
    });
  }
}

// After a failed fsync the data may be gone: a second try that succeeds would prove nothing.
TEST_F(FailingCalls, AFailedFsyncIsAFailedSave) {
  FailEach(EIO, Only({SYS_fsync}), [](const TemporaryDirectory& dir, int exit) {
    ASSERT_EQ(exit, 74);
    ASSERT_EQ(Temporaries(dir), 0);
  });
}

TEST_F(FailingCalls, AFullDiskIsAFailedSaveWithoutRemains) {
  FailEach(ENOSPC, Only({SYS_write, SYS_fallocate}), [](const TemporaryDirectory& dir, int exit) {
    ASSERT_EQ(exit, 74);
    ASSERT_EQ(NewestIn(dir.path()), 20);
    ASSERT_EQ(Temporaries(dir), 0);
    ASSERT_EQ(dir.Names().size(), 4U);
  });
}

TEST_F(FailingCalls, AnInterruptedCallIsMadeAgain) {
  FailEach(EINTR, Only({SYS_write, SYS_fallocate, SYS_fsync, SYS_flock, SYS_pread64}),
           [](const TemporaryDirectory& dir, int exit) {
             ASSERT_EQ(exit, 0);
             ASSERT_EQ(NewestIn(dir.path()), 30);
           });
}

TEST_F(SaveFaults, WritesThatTakeOneByteAtATimeStillSaveAll) {
#if defined(__x86_64__)
  if (!Traceable()) GTEST_SKIP() << "ptrace is not allowed here";
  TemporaryDirectory dir;
  const TraceResult result = Trial(dir, [](int, long number) {
    return Injection{number == SYS_write ? Injection::Kind::kShorten : Injection::Kind::kNone};
  });
  EXPECT_EQ(result.status, 0);
  EXPECT_GT(result.calls, 2 * 8 * kElements);
  EXPECT_EQ(NewestIn(dir.path()), 30);
#else
  GTEST_SKIP() << "faults are injected on x86-64 only";
#endif
}

}  // namespace
}  // namespace lockstep
