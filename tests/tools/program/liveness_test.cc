// What becomes of a job that loses one of its processes, under the real mpirun.
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <iterator>
#include <numeric>
#include <sstream>
#include <thread>
#include <tuple>

#include "tests/tools/program/job_of_ranks.h"

namespace lockstep::tools {
namespace {

using std::chrono::steady_clock;
using testing::HasSubstr;
using testing::Not;

// Rank 0 of them writes a checkpoint behind every step, so that one can see how far they are.
class Liveness : public Ranks {
 protected:
  Arguments Endless(const Arguments& more = {}) const {
    return With(Train(Arguments{"--checkpoint-every", "1"} + more, "job"), "--epochs", "100000");
  }
  static ProgramSetting WithFailureFile(ProgramSetting setting, const std::string& directory) {
    setting.variables["SM_OUTPUT_DIR"] = directory;
    return setting;
  }
  bool Trains() const { return Exists("job/checkpoint_2.lsc"); }
  // Which must come in time.
  static Outcome EndOf(Program& program, double limit) {
    const auto start = steady_clock::now();
    if (program.WaitUntil([&] { return SecondsSince(start) > limit; })) {
      ADD_FAILURE() << "it runs after " << limit << " s";
      program.Signal(SIGKILL);
    }
    return program.Wait();
  }
  static std::string OwnHost() {
    char name[256] = {};
    ::gethostname(name, sizeof name - 1);
    return name;
  }
  // The line on stderr and in the failure file names the rank, its process, its host, and the last
  // collective of every rank; the table on stderr as well.
  void ExpectNamed(const Outcome& outcome, int rank, pid_t pid, int ranks, const char* what) const {
    const std::string line = Between(outcome.err, "lockstep: ", "\n");
    EXPECT_THAT(line, HasSubstr("lockstep: rank " + std::to_string(rank) + " (process " +
                                std::to_string(pid) + " on host " + OwnHost() + ") " + what))
        << outcome.err;
    std::vector<int> all(static_cast<size_t>(ranks));
    std::iota(all.begin(), all.end(), 0);
    EXPECT_EQ(RanksWithCollectives(line), all) << line;
    for (int other = 0; other < ranks; ++other) {
      EXPECT_THAT(outcome.err, HasSubstr("\n  rank " + std::to_string(other) + ", process "));
    }
    EXPECT_EQ("lockstep: " + ReadFile(Dir("failure")), line + "\n");
  }
};

TEST_F(Liveness, WhoIsKilledIsNamedAtOnce) {
  for (const auto& [ranks, victim, communicator] :
       {std::tuple{2, 0, "auto"}, std::tuple{2, 1, "mpi"}, std::tuple{3, 0, "mpi"},
        std::tuple{3, 1, "auto"}, std::tuple{3, 2, "auto"}}) {
    SCOPED_TRACE(std::to_string(victim) + " of " + std::to_string(ranks) + ", " + communicator);
    Program program(Endless({"--communicator", communicator}),
                    WithFailureFile(Wrapped(ranks), Dir("")));
    ASSERT_TRUE(program.WaitUntil([&] { return Trains(); }));
    const std::vector<pid_t> pids = Pids(ranks);
    ::kill(pids[static_cast<size_t>(victim)], SIGKILL);
    const Outcome outcome = EndOf(program, 3.0);
    EXPECT_NE(outcome.code, 0);
    ExpectNamed(outcome, victim, pids[static_cast<size_t>(victim)], ranks, "has died");
    ExpectGone(pids);
    std::filesystem::remove_all(Dir("job"));
    std::filesystem::remove(Dir("failure"));
  }
}

TEST_F(Liveness, ARankThatIsStoppedIsNamedAndEndsWithTheOthers) {
  for (const int victim : {0, 1}) {
    Program program(Endless(), WithFailureFile(Wrapped(3), Dir("")));
    ASSERT_TRUE(program.WaitUntil([&] { return Trains(); }));
    const std::vector<pid_t> pids = Pids(3);
    ::kill(pids[static_cast<size_t>(victim)], SIGSTOP);
    const Outcome outcome = EndOf(program, 10.0);
    EXPECT_EQ(outcome.code, 69) << outcome.err;
    ExpectNamed(outcome, victim, pids[static_cast<size_t>(victim)], 3,
                "has not been heard of for 7.");
    const std::string loss = "rank " + std::to_string(victim) + " .process ";
    EXPECT_THAT(ReadFile(Dir("jobout/log-rank-2.txt")),
                testing::ContainsRegex("\nlockstep: (stopped because )?" + loss + "[^\n]+\n$"));
    ExpectGone(pids);
    std::filesystem::remove_all(Dir("job"));
    std::filesystem::remove(Dir("failure"));
  }
}

TEST_F(Liveness, AShortPauseHarmsNobody) {
  const auto job = [&](const std::string& name, const Arguments& more) {
    return With(Reproducible(name, more), "--epochs", "100000");
  };
  Program program(job("job", {"--checkpoint-every", "1"}), WithFailureFile(Wrapped(2), Dir("")));
  ASSERT_TRUE(program.WaitUntil([&] { return Trains(); }));
  const std::vector<pid_t> pids = Pids(2);
  // One of them, then all for longer than anybody may be silent.
  ::kill(pids[1], SIGSTOP);
  std::this_thread::sleep_for(std::chrono::seconds(3));
  ::kill(pids[1], SIGCONT);
  std::this_thread::sleep_for(std::chrono::seconds(1));
  for (const pid_t pid : pids) ::kill(pid, SIGSTOP);
  std::this_thread::sleep_for(std::chrono::seconds(9));
  for (const pid_t pid : pids) ::kill(pid, SIGCONT);
  std::this_thread::sleep_for(std::chrono::seconds(3));
  ::kill(pids[0], SIGTERM);
  const Outcome outcome = EndOf(program, 10.0);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, Not(HasSubstr("lockstep: ")));
  EXPECT_THAT(outcome.out, HasSubstr("stopped by SIGTERM"));
  const std::string steps = std::to_string(NewestOf("job"));
  const Outcome whole = RunWell(job("whole", {"--iterations", steps}));
  EXPECT_EQ(outcome.WeightsHash(), whole.WeightsHash()) << steps << " steps";
}

TEST_F(Liveness, WithOwnRanksTheCodeIs69) {
  ProgramSetting setting = WithFailureFile(Setting(), Dir(""));
  Program program(Endless({"--ranks", "3"}), setting);
  ASSERT_TRUE(program.WaitUntil([&] { return Trains(); }));
  const std::vector<pid_t> mpirun = ChildrenOf(program.pid());
  ASSERT_EQ(mpirun.size(), 1U);
  const std::vector<pid_t> ranks = ChildrenOf(mpirun[0]);
  ASSERT_EQ(ranks.size(), 3U);
  const pid_t victim = ranks[2];
  ::kill(victim, SIGKILL);
  const Outcome outcome = EndOf(program, 3.0);
  ExpectGone(ranks);
  EXPECT_EQ(outcome.code, 69) << outcome.err;
  EXPECT_THAT(Between(outcome.err, "lockstep: ", "\n"),
              HasSubstr("(process " + std::to_string(victim) + " on host "));
  EXPECT_THAT(ReadFile(Dir("failure")), HasSubstr("has died"));
}

TEST_F(Liveness, WithoutAHeartbeatNothingIsWatched) {
  const Outcome outcome = RunOn(2, Train({"--heartbeat-timeout", "0"}));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  for (const char* option : {"--heartbeat-timeout", "--collective-timeout"}) {
    ExpectJobFails(RunOn(2, Train({option, "0.5"})), 64, std::string(option) + " 0.5: wants");
  }
}

// All of its threads come last wherever others want the core.
void MakeNice(pid_t process) {
  const std::string tasks = "/proc/" + std::to_string(process) + "/task";
  for (const auto& task : std::filesystem::directory_iterator(tasks)) {
    const int thread = std::stoi(task.path().filename().string());
    EXPECT_EQ(::setpriority(PRIO_PROCESS, static_cast<id_t>(thread), 19), 0);
  }
}

// Cores that have other things to do make nobody look silent, not even one that comes last.
// LOCKSTEP_SOAK_SECONDS lets it run as long as a soak wants.
TEST_F(Liveness, LoadIsNoSilence) {
  const int seconds = static_cast<int>(SoakSeconds(20));
  std::vector<pid_t> busy;
  for (int i = 0; i < 6; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(static_cast<unsigned>(seconds) + 60);
      for (;;) static_cast<void>(std::clock());
    }
    busy.push_back(child);
  }
  ProgramSetting setting = Wrapped(3);
  setting.launcher[4] = std::to_string(seconds + 60);  // its --timeout
  Program program(Endless(), WithFailureFile(setting, Dir("")));
  ASSERT_TRUE(program.WaitUntil([&] { return Trains(); }));
  const auto start = steady_clock::now();
  MakeNice(PidOf(2));
  EXPECT_TRUE(program.WaitUntil([&] { return SecondsSince(start) > seconds; })) << "it has ended";
  for (const pid_t child : busy) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
  ::kill(PidOf(0), SIGTERM);
  const Outcome outcome = EndOf(program, 10.0);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, Not(HasSubstr("lockstep: ")));
  EXPECT_FALSE(Exists("failure"));
}

}  // namespace
}  // namespace lockstep::tools
