// Jobs in which nobody dies and nothing goes on, or seems to (faults B9, F1 to F6, F10), under
// the real mpirun.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "tests/tools/program/job_of_ranks.h"

namespace lockstep::tools {
namespace {

using std::chrono::steady_clock;
using testing::HasSubstr;
using testing::Not;

// Stops the main thread of a process, and no other of its threads.
class StoppedThread {
 public:
  explicit StoppedThread(pid_t process) : process_(process) {
    there_ = ::ptrace(PTRACE_SEIZE, process, nullptr, nullptr) == 0;
    if (!there_) return;
    ::ptrace(PTRACE_INTERRUPT, process, nullptr, nullptr);
    ::waitpid(process, nullptr, __WALL);
  }
  ~StoppedThread() {
    if (!there_) return;
    // Not while the process ends: then it is we who have to be told.
    if (::ptrace(PTRACE_DETACH, process_, nullptr, nullptr) != 0) {
      ::waitpid(process_, nullptr, __WALL);
    }
  }
  StoppedThread(const StoppedThread&) = delete;
  StoppedThread& operator=(const StoppedThread&) = delete;

  bool there() const { return there_; }
  // Whether the process has ended. Its parent hears of that when its tracer has.
  bool Ended() {
    if (there_ && ::waitpid(process_, nullptr, __WALL | WNOHANG) == process_) there_ = false;
    return !there_;
  }

 private:
  const pid_t process_;
  bool there_ = false;
};

class HangFaults : public Ranks {
 protected:
  Arguments Endless(const Arguments& more = {}) const {
    return With(Train(Arguments{"--checkpoint-every", "1"} + more, "job"), "--epochs", "100000");
  }
  bool Trains() const { return Exists("job/checkpoint_2.lsc"); }
  static bool Succeeds(const std::string& command) {
    return std::system(("(" + command + ") >/dev/null 2>&1").c_str()) == 0;
  }
};

// Its heartbeat goes on: only that the others wait for it tells.
TEST_F(HangFaults, F1ARankThatIsStuckInItsOwnCodeIsNamed) {
  for (const int victim : {0, 1}) {
    Program program(Endless({"--collective-timeout", "1"}), Wrapped(2));
    ASSERT_TRUE(program.WaitUntil([&] { return Trains(); }));
    const auto start = steady_clock::now();
    {
      StoppedThread stuck(PidOf(victim));
      if (!stuck.there()) GTEST_SKIP() << "ptrace is not allowed here";
      program.WaitUntil([&] { return stuck.Ended() || SecondsSince(start) > 8.0; });
      EXPECT_TRUE(stuck.Ended());
    }
    ExpectJobFails(program.Wait(), 69,
                   "rank " + std::to_string(victim) + " (process " + std::to_string(PidOf(victim)) +
                       " on host ");
    const Outcome outcome = program.Wait();
    ExpectJobFails(outcome, 69,
                   ") does not come to a collective that others have waited in for 1.0 s; it is ");
    EXPECT_LT(SecondsSince(start), 8.0);
    std::filesystem::remove_all(Dir("job"));
  }
}

// Deadlines and silences are measured by a clock that nobody sets.
TEST_F(HangFaults, B9AClockThatJumpsHarmsNobody) {
  if (!Succeeds("faketime -f +0 true")) GTEST_SKIP() << "no faketime here";
  const Arguments job = With(Reproducible("", {"--checkpoint-every", "2"}), "--epochs", "40");
  const std::string hash = RunWell(job).WeightsHash();
  const auto set_clock = [&](const std::string& offset) {
    scratch_.Write("next", offset);
    std::filesystem::rename(Dir("next"), Dir("clock"));
  };
  const std::string jumping =
      "export LD_PRELOAD=$(faketime -f +0 printenv LD_PRELOAD) FAKETIME_NO_CACHE=1 "
      "FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_TIMESTAMP_FILE=" +
      Dir("clock") + "; date +%Y > " + Dir("year");
  const auto run = [&](int ranks, int victim) {
    SCOPED_TRACE("rank " + std::to_string(victim) + " of " + std::to_string(ranks));
    set_clock("+9y");
    ProgramSetting setting = ranks == 1 ? Setting() : Under(Setting(), ranks);
    const std::string script = "if [ ${OMPI_COMM_WORLD_RANK-0} = " + std::to_string(victim) +
                               " ]; then " + jumping + "; fi; exec \"$@\"";
    setting.launcher.insert(setting.launcher.end(), {"/bin/sh", "-c", script, "sh"});
    Program program(job + Arguments{"--checkpoint-dir", Dir("job")}, setting);
    ASSERT_TRUE(program.WaitUntil([&] { return Trains(); }));
    int jumps = 0;
    for (const char* offset : {"+1h", "-1h", "+20y", "-20y", "+0"}) {
      const auto start = steady_clock::now();
      set_clock(offset);
      jumps += program.WaitUntil([&] { return SecondsSince(start) > 0.15; });
    }
    EXPECT_GE(jumps, 3) << "the job ended too soon";
    const auto years = std::chrono::year_month_day(
                           std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now()))
                           .year();
    EXPECT_GE(std::stoi(ReadFile(Dir("year"))), static_cast<int>(years) + 8);
    const Outcome outcome = program.Wait();
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.WeightsHash(), hash);
    EXPECT_THAT(
        RunWell(With(job, "--epochs", "41") + Arguments{"--checkpoint-dir", Dir("job")}).out,
        HasSubstr("/checkpoint_200.lsc at iteration 200\n"));
    std::filesystem::remove_all(Dir("job"));
    std::filesystem::remove(Dir("year"));
  };
  run(1, 0);
  run(2, 0);
  run(2, 1);
}

// A network of its own in which MPI's packets can be dropped, and the heartbeat's go on.
class LostPackets : public HangFaults {
 protected:
  LostPackets() : there_(Succeeds("unshare -n ip rule add pref 100 lookup local")) {}

  ProgramSetting InOwnNetwork(const std::string& run = "exec \"$@\"") const {
    ProgramSetting setting = Wrapped(2);
    setting.launcher.insert(
        setting.launcher.begin() + 1,
        {"--mca", "pml", "ob1", "--mca", "btl", "tcp,self", "--mca", "btl_tcp_if_include", "lo",
         "--mca", "btl_tcp_port_min_v4", "10000", "--mca", "btl_tcp_port_range_v4", "100"});
    // The rule for this host's own addresses comes first and has to make room.
    setting.launcher.insert(setting.launcher.begin(),
                            {"/usr/bin/unshare", "-n", "/bin/sh", "-c",
                             "ip link set lo up && ip rule add pref 100 lookup local && "
                             "ip rule del pref 0 lookup local && " +
                                 run,
                             "sh"});
    setting.variables["PATH"] += ":/usr/sbin:/sbin";
    return setting;
  }
  void Rules(const std::string& change, const std::string& which) const {
    EXPECT_TRUE(Succeeds("nsenter -t " + std::to_string(PidOf(0)) + " -n ip rule " + change +
                         " pref 1 ipproto tcp " + which + " blackhole"))
        << change;
  }

  const bool there_;
};

// All are in a collective that none gets out of: nobody is missing.
TEST_F(LostPackets, F4OfMpiAloneEndTheJob) {
  if (!there_) GTEST_SKIP() << "no network namespaces, or no ip(8), here";
  Program program(Endless({"--collective-timeout", "2", "--communicator", "mpi"}), InOwnNetwork());
  ASSERT_TRUE(program.WaitUntil([&] { return Trains(); }));
  const auto start = steady_clock::now();
  for (const char* port : {"dport 10000-10099", "sport 10000-10099"}) Rules("add", port);
  program.WaitUntil([&] { return SecondsSince(start) > 10.0; });
  EXPECT_LT(SecondsSince(start), 10.0);
  program.Signal(SIGKILL);
  ExpectJobFails(program.Wait(), 69,
                 ", as all others, inside of a collective that none has got out of for 2.0 s: ");
}

// All at once, for good: a cable that is pulled, and a host that is switched off.
TEST_F(LostPackets, F3AndF6OfAllEndTheJob) {
  if (!there_) GTEST_SKIP() << "no network namespaces, or no ip(8), here";
  for (const std::string fault : {"link set lo down", "rule add pref 1 blackhole"}) {
    Program program(Endless({"--communicator", "mpi"}), InOwnNetwork());
    ASSERT_TRUE(program.WaitUntil([&] { return Trains(); }));
    const auto start = steady_clock::now();
    EXPECT_TRUE(Succeeds("nsenter -t " + std::to_string(PidOf(0)) + " -n ip " + fault));
    program.WaitUntil([&] { return SecondsSince(start) > 10.0; });
    EXPECT_LT(SecondsSince(start), 10.0) << fault;
    program.Signal(SIGKILL);
    const Outcome outcome = program.Wait();
    const std::string line = Between(outcome.err, "lockstep: ", "\n");
    EXPECT_THAT(line, testing::ContainsRegex("rank [01] .* has not been heard of for 7"))
        << outcome.err;
    EXPECT_EQ(RanksWithCollectives(line), (std::vector<int>{0, 1})) << line;
    EXPECT_EQ(outcome.code, 69) << fault;
    std::filesystem::remove_all(Dir("job"));
  }
}

// A link so slow that every sum waits for it, on which heartbeats travel as well, is nobody's loss.
// LOCKSTEP_SOAK_SECONDS has jobs run on it for so long.
TEST_F(LostPackets, F2OnAMegabitASecondNobodyLooksDead) {
  const std::string slow = "tc qdisc add dev lo root tbf rate 1mbit burst 128kb latency 400ms";
  if (!there_ || !Succeeds("unshare -n sh -c 'ip link set lo up && " + slow + "'")) {
    GTEST_SKIP() << "no network namespaces, or no tc(8) with tbf, here";
  }
  const Arguments job = Reproducible("", {"--iterations", "2"});
  const std::string hash = RunWell(job).WeightsHash();
  const ProgramSetting setting = InOwnNetwork(slow + " && exec \"$@\"");
  const auto begin = steady_clock::now();
  do {
    const auto start = steady_clock::now();
    const Outcome outcome = RunProgram(job + Arguments{"--communicator", "mpi"}, setting);
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.WeightsHash(), hash);
    EXPECT_THAT(outcome.err, Not(HasSubstr("lockstep: ")));
    // Two sums of a quarter of a megabyte from both, less what passes at once, are 7 s.
    EXPECT_GT(SecondsSince(start), 6.0) << "the link was not slow";
  } while (SecondsSince(begin) < SoakSeconds(0.0));
}

// From the first connection on. LOCKSTEP_SOAK_SECONDS has jobs run so for so long.
TEST_F(LostPackets, F5OfOneInTenHarmNobody) {
  const std::string loss =
      "nft add table inet t && nft 'add chain inet t i { type filter hook input priority 0; }' && "
      "nft 'add rule inet t i meta l4proto tcp numgen random mod 100 < 10 counter drop'";
  if (!there_ || !Succeeds("unshare -n sh -c \"" + loss + "\"")) {
    GTEST_SKIP() << "no network namespaces, or no nft(8), here";
  }
  const std::string hash = RunWell(Reproducible()).WeightsHash();
  const ProgramSetting setting = InOwnNetwork(loss + " && { \"$@\"; code=$?; nft list ruleset > " +
                                              Dir("counted") + "; exit $code; }");
  const auto start = steady_clock::now();
  do {
    std::filesystem::remove_all(Dir("job"));
    const Outcome outcome = RunProgram(Reproducible("job", {"--communicator", "mpi"}), setting);
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.WeightsHash(), hash);
    // "counter packets 123 bytes 4567 drop".
    EXPECT_THAT(ReadFile(Dir("counted")), testing::ContainsRegex("counter packets [1-9][0-9]+ "));
  } while (SecondsSince(start) < SoakSeconds(0.0));
}

// Everything is lost for less than the heartbeat's patience: nobody gets on, and nobody is lost.
class HealedCut : public LostPackets {
 protected:
  void ExpectNoHarm(const std::string& cut, const std::string& heal) const {
    const auto in_network = [&](const std::string& command) {
      EXPECT_TRUE(Succeeds("nsenter -t " + std::to_string(PidOf(0)) + " -n " + command)) << command;
    };
    const Arguments more{"--communicator", "mpi", "--checkpoint-every", "1"};
    const std::string hash = RunWell(With(Reproducible(), "--epochs", "12")).WeightsHash();
    Program program(With(Reproducible("job", more), "--epochs", "12"), InOwnNetwork());
    ASSERT_TRUE(program.WaitUntil([&] { return Trains(); }));
    in_network(cut);
    std::this_thread::sleep_for(std::chrono::seconds(1));
    int64_t step = 2;
    while (HasCheckpoint("job", step + 1)) ++step;
    std::cout << "cut off at step " << step << " of 60\n";
    EXPECT_LT(step, 60);
    std::this_thread::sleep_for(std::chrono::seconds(2));
    EXPECT_FALSE(HasCheckpoint("job", step + 1)) << "something gets through";
    in_network(heal);
    const Outcome outcome = program.Wait();
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.WeightsHash(), hash);
  }
};

TEST_F(HealedCut, F10WithoutARouteHarmsNobody) {
  if (!there_) GTEST_SKIP() << "no network namespaces, or no ip(8), here";
  ExpectNoHarm("ip rule add pref 1 ipproto tcp blackhole",
               "ip rule del pref 1 ipproto tcp blackhole");
}

// The sender notices nothing, and tries again after longer and longer pauses.
TEST_F(HealedCut, F10WithoutAWordHarmsNobody) {
  if (!there_ || !Succeeds("unshare -n nft list ruleset")) {
    GTEST_SKIP() << "no network namespaces, or no nft(8), here";
  }
  ExpectNoHarm(
      "sh -c \"nft add table inet t && nft 'add chain inet t i { type filter hook input priority "
      "0; "
      "}' && nft 'add rule inet t i meta l4proto tcp drop'\"",
      "nft delete table inet t");
}

}  // namespace
}  // namespace lockstep::tools
