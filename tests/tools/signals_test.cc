#include "tools/signals.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <functional>
#include <thread>
#include <utility>

#include "kernels/error.h"

namespace lockstep::tools {
namespace {

// Runs `body` in a child.
pid_t Start(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  return child;
}

int ExitCodeOf(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int ExitCodeOf(const std::function<int()>& body) { return ExitCodeOf(Start(body)); }

class StopSignalTest : public ::testing::TestWithParam<int> {};

TEST_P(StopSignalTest, TheFirstRaisesTheFlag) {
  StopSignals signals;
  signals.Catch();
  EXPECT_FALSE(signals.requested());
  EXPECT_FALSE(signals.stop());
  const auto before = std::chrono::steady_clock::now();
  ::raise(GetParam());
  EXPECT_TRUE(signals.requested());
  ASSERT_TRUE(signals.stop());
  EXPECT_EQ(signals.stop()->signal, GetParam());
  EXPECT_GE(signals.stop()->when, before);
  EXPECT_LE(signals.stop()->when, std::chrono::steady_clock::now());
}

TEST_P(StopSignalTest, GraceBeginsWithTheFirstAndEndsWhenAllIsSaved) {
  const auto start = [](int signal, bool before, bool saved) {
    return Start([=] {
      StopSignals signals;
      signals.Catch();
      if (before) ::raise(signal);
      signals.SetGrace(std::chrono::seconds(1));
      if (!before) ::raise(signal);
      if (saved) signals.EndGrace();
      std::this_thread::sleep_for(std::chrono::milliseconds(1300));
      return 1;
    });
  };
  const std::array<std::pair<pid_t, int>, 5> children = {{
      {start(GetParam(), false, false), 75},
      {start(GetParam(), false, true), 1},
      {start(GetParam(), true, false), 75},
      {start(GetParam(), true, true), 1},
      {start(SIGALRM, false, false), 1},  // one that nobody asked to stop
  }};
  for (const auto& [child, code] : children) EXPECT_EQ(ExitCodeOf(child), code);
}

TEST_P(StopSignalTest, AnotherLeavesAtOnceWithNothingSaved) {
  for (const int second : {SIGTERM, SIGINT, SIGHUP}) {
    EXPECT_EQ(ExitCodeOf([&] {
                StopSignals signals;
                signals.Catch();
                ::raise(GetParam());
                ::raise(second);
                return 1;
              }),
              second == GetParam() ? 1 : 75);
  }
}

TEST_P(StopSignalTest, TheSameSoonAfterwardsIsNoSecond) {
  EXPECT_EQ(ExitCodeOf([&] {
              StopSignals signals;
              signals.Catch();
              for (int i = 0; i < 3; ++i) ::raise(GetParam());
              if (signals.stop()->signal != GetParam()) return 1;
              std::this_thread::sleep_for(StopSignals::kRepeat + std::chrono::milliseconds(50));
              ::raise(GetParam());
              return 2;
            }),
            75);
}

TEST_P(StopSignalTest, TheFirstLeavesAtOnceWhereThereIsNothingToSave) {
  EXPECT_EQ(ExitCodeOf([&] {
              StopSignals signals;
              signals.Catch();
              const StopSignals::NothingToSave nothing(signals);
              ::raise(GetParam());
              return 1;
            }),
            75);
}

INSTANTIATE_TEST_SUITE_P(All, StopSignalTest, ::testing::Values(SIGTERM, SIGINT, SIGHUP, SIGUSR1),
                         [](const auto& info) { return SignalName(info.param); });

TEST(StopSignalsTest, TheCpuTimeLimitAsksAgainAndAgain) {
  EXPECT_EQ(ExitCodeOf([] {
              StopSignals signals;
              signals.Catch();
              ::raise(SIGXCPU);
              std::this_thread::sleep_for(StopSignals::kRepeat + std::chrono::milliseconds(50));
              ::raise(SIGXCPU);
              return signals.stop()->signal == SIGXCPU ? 0 : 1;
            }),
            0);
}

// A SIGTERM to all processes of a job has the launcher's mpirun pass on a signal of its own.
TEST(StopSignalsTest, WhatTheLauncherPassesOnSoonAfterwardsIsNoSecond) {
  const auto code = [](bool has_launcher, std::chrono::milliseconds after) {
    std::array<int, 2> ready{};
    EXPECT_EQ(::pipe(ready.data()), 0);
    const pid_t child = Start([&] {
      StopSignals signals;
      if (has_launcher) signals.LetAnotherSpeak();
      signals.Catch();
      if (::write(ready[1], "r", 1) != 1) return 2;
      for (int i = 0; i < 1000 && !signals.requested(); ++i) ::usleep(1000);
      for (int i = 0; i < 600; ++i) ::usleep(1000);
      return 1;
    });
    char word = 0;
    EXPECT_EQ(::read(ready[0], &word, 1), 1);
    ::kill(child, SIGTERM);
    std::this_thread::sleep_for(after);
    ::kill(child, SIGUSR1);
    for (const int end : ready) ::close(end);
    return ExitCodeOf(child);
  };
  constexpr std::chrono::milliseconds kSoon{5}, kLate = StopSignals::kRepeat + kSoon * 10;
  EXPECT_EQ(code(true, kSoon), 1);
  EXPECT_EQ(code(true, kLate), 75);
  EXPECT_EQ(code(false, kSoon), 75);
}

TEST(StopSignalsTest, NothingToSaveEndsWithItsScope) {
  StopSignals signals;
  signals.Catch();
  { const StopSignals::NothingToSave nothing(signals); }
  ::raise(SIGTERM);
  EXPECT_TRUE(signals.requested());
  EXPECT_THROW(StopSignals::NothingToSave nothing(signals), Error);
}

TEST(StopSignalsTest, NotCaughtTheyEndTheProcess) {
  EXPECT_EQ(ExitCodeOf([] {
              const StopSignals signals;
              ::raise(SIGTERM);
              return 1;
            }),
            -SIGTERM);
}

TEST(StopSignalsTest, WhatHeldBeforeHoldsAgainAfterwards) {
  { const StopSignals signals; }
  EXPECT_EQ(ExitCodeOf([] {
              { StopSignals().Catch(); }
              ::raise(SIGTERM);
              return 1;
            }),
            -SIGTERM);
  const StopSignals again;
  EXPECT_FALSE(again.requested());
}

TEST(StopSignalsTest, TwoAtATimeAreABug) {
  const StopSignals signals;
  EXPECT_THROW(StopSignals(), Error);
}

TEST(StopSignalsTest, NohupStaysInForce) {
  EXPECT_EQ(ExitCodeOf([] {
              ::signal(SIGHUP, SIG_IGN);
              StopSignals signals;
              signals.Catch();
              ::raise(SIGHUP);
              return signals.requested() ? 1 : 0;
            }),
            0);
}

TEST(StopSignalsTest, AClosedReaderIsAnErrorOfWrite) {
  EXPECT_EQ(ExitCodeOf([] {
              const StopSignals signals;
              int ends[2];
              if (::pipe(ends) != 0) return 1;
              ::close(ends[0]);
              return ::write(ends[1], "x", 1) == -1 && errno == EPIPE ? 0 : 2;
            }),
            0);
}

TEST(StopSignalsTest, AFileSizeLimitIsAnErrorOfWrite) {
  EXPECT_EQ(ExitCodeOf([] {
              const StopSignals signals;
              const rlimit limit{4, 4};
              const int fd = ::open("/tmp", O_TMPFILE | O_WRONLY, 0600);
              if (fd < 0 || ::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
              if (::write(fd, "12345678", 8) != 4) return 2;
              return ::write(fd, "5678", 4) == -1 && errno == EFBIG ? 0 : 3;
            }),
            0);
}

// A process that follows its parent: 'r' when it is ready, then 's' when it is asked to stop, 'n'
// when it was not for a while.
void Follow(int out) {
  StopSignals signals;
  signals.Catch();
  signals.FollowParent();
  const auto start = std::chrono::steady_clock::now();
  const auto say = [out](char word) { return ::write(out, &word, 1) == 1; };
  say('r');
  while (!signals.requested() &&
         std::chrono::steady_clock::now() - start < std::chrono::seconds(1)) {
    ::usleep(1000);
  }
  say(signals.requested() ? 's' : 'n');
  ::_exit(0);
}

class FollowedParent : public ::testing::Test {
 protected:
  FollowedParent() { EXPECT_EQ(::pipe(ends_.data()), 0); }
  ~FollowedParent() override {
    for (const int end : ends_) ::close(end);
  }
  char Next() const {
    char word = 0;
    EXPECT_EQ(::read(ends_[0], &word, 1), 1);
    return word;
  }
  std::array<int, 2> ends_{};
};

TEST_F(FollowedParent, EndsWhoFollowsIt) {
  const pid_t parent = ::fork();
  if (parent == 0) {
    if (::fork() == 0) Follow(ends_[1]);
    for (;;) ::pause();
  }
  EXPECT_EQ(Next(), 'r');
  ::kill(parent, SIGKILL);
  ::waitpid(parent, nullptr, 0);
  EXPECT_EQ(Next(), 's');
}

TEST_F(FollowedParent, MayEndTheThreadThatForked) {
  const pid_t parent = ::fork();
  if (parent == 0) {
    std::thread([&] {
      if (::fork() == 0) Follow(ends_[1]);
      ::usleep(100'000);
    }).join();
    for (;;) ::pause();
  }
  EXPECT_EQ(Next(), 'r');
  EXPECT_EQ(Next(), 'n');
  ::kill(parent, SIGKILL);
  ::waitpid(parent, nullptr, 0);
}

}  // namespace
}  // namespace lockstep::tools
