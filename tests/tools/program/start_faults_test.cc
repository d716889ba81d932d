// Processes of a job that do not come to its start, or not as who they are (faults E8, E9, F7).
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "engine/train/posix_file.h"
#include "tests/tools/program/job_of_ranks.h"

namespace lockstep::tools {
namespace {

using std::chrono::steady_clock;
using testing::HasSubstr;

class StartFaults : public Ranks {
 protected:
  // Rank 1 runs `before` first, under a shell that has written its process id.
  ProgramSetting After(int ranks, const std::string& before) const {
    ProgramSetting setting = Wrapped(ranks);
    std::string& script = *(setting.launcher.end() - 2);
    script = "echo $$ > " + Dir("pid.$OMPI_COMM_WORLD_RANK") +
             "; if [ $OMPI_COMM_WORLD_RANK = 1 ]; then " + before + "; fi; exec \"$@\"";
    setting.variables["SM_OUTPUT_DIR"] = Dir("");
    return setting;
  }
  static std::string OwnHost() {
    char name[256] = {};
    ::gethostname(name, sizeof name - 1);
    return name;
  }
};

TEST_F(StartFaults, F7ARankThatNeverComesIsNamed) {
  const auto start = steady_clock::now();
  const Outcome outcome = RunProgram(Train({"--join-timeout", "2"}), After(3, "exec sleep 60"));
  EXPECT_LT(steady_clock::now() - start, std::chrono::seconds(8));
  ExpectJobFails(outcome, 69,
                 "lockstep: rank 1 (process " + std::to_string(PidOf(1)) + " on host " + OwnHost() +
                     ") did not come to the start of the job within 2 s; ");
  EXPECT_EQ(Count(outcome.err, "lockstep: "), 1) << outcome.err;
  EXPECT_THAT(ReadFile(Dir("failure")), testing::StartsWith("rank 1 (process "));
  EXPECT_FALSE(Exists("model"));
}

// LOCKSTEP_SOAK_SECONDS has it come so late; mpirun waits for 100 s in all.
TEST_F(StartFaults, F7ARankThatComesLateIsWaitedFor) {
  const std::string late = "sleep " + std::to_string(SoakSeconds(2.0));
  EXPECT_EQ(RunProgram(Train(), After(2, late)).code, 0);
  EXPECT_EQ(RunProgram(Train({"--join-timeout", "0"}), After(2, "sleep 2")).code, 0);
}

// Most of the time until then is spent inside of MPI, which no signal interrupts.
TEST_F(StartFaults, B3TermWhileOthersAreWaitedForEndsTheJob) {
  Program program(Train(), After(2, "exec sleep 60"));
  ASSERT_TRUE(program.WaitUntil([&] { return Exists("pid.0") && Exists("pid.1"); }));
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  const auto start = steady_clock::now();
  ::kill(PidOf(0), SIGTERM);
  const Outcome outcome = program.Wait();
  EXPECT_LT(steady_clock::now() - start, std::chrono::seconds(3));
  ExpectJobFails(outcome, 75, "stopped before the first step");
  EXPECT_EQ(Count(outcome.err, "lockstep: "), 1) << outcome.err;
}

TEST_F(StartFaults, E8ARankThatIsThereTwiceIsRefused) {
  const Outcome outcome = ExpectRefusedAtTheStart({}, After(2, "export OMPI_COMM_WORLD_RANK=0"), 78,
                                                  "rank 0 of the job is there twice: process ");
  EXPECT_EQ(Count(outcome.err, "lockstep: "), 1) << outcome.err;
}

TEST_F(StartFaults, E8VariablesOfAnotherRankOrSizeAreRefused) {
  for (const auto& [change, told] :
       {std::pair{"RANK=2", "rank 2 of 2"}, std::pair{"SIZE=3", "rank 1 of 3"}}) {
    const Outcome outcome = ExpectRefusedAtTheStart(
        {}, After(2, std::string("export OMPI_COMM_WORLD_") + change), 78,
        std::string("rank 1 of 2 is told by the launcher's variables to be ") + told);
    EXPECT_EQ(Count(outcome.err, "lockstep: "), 1) << outcome.err;
  }
}

TEST_F(StartFaults, E8AHostListWithoutThisHostOrWithItTwiceIsRefused) {
  const std::string me = '"' + OwnHost() + '"';
  for (const std::string& hosts : {std::string(R"("algo-1", "algo-2")"), me + ", " + me}) {
    const ProgramSetting setting = Under(Setting({{"SM_HOSTS", "[" + hosts + "]"}}), 2);
    const Outcome outcome = ExpectRefusedAtTheStart(
        {}, setting, 78, "SM_HOSTS: this host, '" + OwnHost() + "', is not listed exactly");
    EXPECT_EQ(Count(outcome.err, "lockstep: "), 1) << outcome.err;
  }
}

// Ranks are MPI's, in its order: that of the list means nothing.
TEST_F(StartFaults, E8HostsMayBeListedInAnyOrder) {
  const std::string hash = RunWell(Reproducible()).WeightsHash(), me = '"' + OwnHost() + '"';
  ProgramSetting setting = After(2, "export SM_HOSTS='[" + me + R"(, "zzz", "aaa"]')");
  setting.variables["SM_HOSTS"] = R"(["zzz", "aaa", )" + me + "]";
  const Outcome outcome = RunProgram(Reproducible(), setting);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.WeightsHash(), hash);
}

TEST_F(StartFaults, F8APortThatIsInUseNamesItsOwner) {
  const FileDescriptor taken(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  socklen_t size = sizeof address;
  auto* const name = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(::bind(taken.get(), name, size), 0);
  ASSERT_EQ(::listen(taken.get(), 1), 0);
  ASSERT_EQ(::getsockname(taken.get(), name, &size), 0);
  const std::string port = std::to_string(ntohs(address.sin_port));
  const Outcome outcome = RunOn(2, Train({"--heartbeat-port", port}));
  ExpectJobFails(outcome, 78,
                 "rank 0: port " + port + " for the heartbeat is in use by process " +
                     std::to_string(::getpid()) + " (tools_faults_te)");
  EXPECT_EQ(Count(outcome.err, "lockstep: "), 1) << outcome.err;
}

TEST_F(StartFaults, F9AHostThatIsNotThereEndsTheLauncher) {
  ProgramSetting setting = Setting();
  setting.launcher = {LOCKSTEP_MPIRUN, "--allow-run-as-root",      "--timeout", "60",
                      "--host",        "localhost,no-such-host:1", "-np",       "2"};
  const Outcome outcome = RunProgram(Train(), setting);
  EXPECT_GT(outcome.code, 0);
  EXPECT_THAT(outcome.err, HasSubstr("no-such-host"));
  EXPECT_FALSE(Exists("model"));
}

TEST_F(StartFaults, E9LanguageAndDirectoryMayDiffer) {
  const std::string hash = RunWell(Reproducible()).WeightsHash();
  const Outcome outcome = RunProgram(
      Reproducible(), After(2, "cd /; export LANG=de_DE.UTF-8 LC_ALL=tr_TR.UTF-8 TZ=Asia/Tokyo"));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.WeightsHash(), hash);
}

}  // namespace
}  // namespace lockstep::tools
