// Jobs in which nobody dies and nothing goes on (faults F1, F4, F10), under the real mpirun.
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
  static double SecondsSince(steady_clock::time_point start) {
    return std::chrono::duration<double>(steady_clock::now() - start).count();
  }
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

// A network of its own in which MPI's packets can be dropped, and the heartbeat's go on.
class LostPackets : public HangFaults {
 protected:
  LostPackets() : there_(Succeeds("unshare -n ip rule add pref 100 lookup local")) {}

  ProgramSetting InOwnNetwork() const {
    ProgramSetting setting = Wrapped(2);
    setting.launcher.insert(
        setting.launcher.begin() + 1,
        {"--mca", "pml", "ob1", "--mca", "btl", "tcp,self", "--mca", "btl_tcp_if_include", "lo",
         "--mca", "btl_tcp_port_min_v4", "10000", "--mca", "btl_tcp_port_range_v4", "100"});
    // The rule for this host's own addresses comes first and has to make room.
    setting.launcher.insert(setting.launcher.begin(),
                            {"/usr/bin/unshare", "-n", "/bin/sh", "-c",
                             "ip link set lo up && ip rule add pref 100 lookup local && "
                             "ip rule del pref 0 lookup local && exec \"$@\"",
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

// Everything is lost for less than the heartbeat's patience.
TEST_F(LostPackets, F10OfAWhileHarmNobody) {
  if (!there_) GTEST_SKIP() << "no network namespaces, or no ip(8), here";
  const Arguments more{"--communicator", "mpi", "--checkpoint-every", "1"};
  const std::string hash = RunWell(With(Reproducible(), "--epochs", "8")).WeightsHash();
  Program program(With(Reproducible("job", more), "--epochs", "8"), InOwnNetwork());
  ASSERT_TRUE(program.WaitUntil([&] { return Trains(); }));
  Rules("add", "");
  std::this_thread::sleep_for(std::chrono::seconds(1));
  Rules("del", "");
  const Outcome outcome = program.Wait();
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.WeightsHash(), hash);
}

}  // namespace
}  // namespace lockstep::tools
