// What goes wrong with one process of a job, or with what all of them share.
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "engine/train/directory_lock.h"
#include "kernels/error.h"
#include "tests/tools/program/job_of_ranks.h"

namespace lockstep::tools {
namespace {

using std::chrono::steady_clock;
using testing::HasSubstr;
using testing::Not;

class RankFaults : public Ranks {
 protected:
  // Seven steps of one process, with checkpoints of the last two.
  void RunSevenSteps() const {
    RunWell(Reproducible("job", {"--iterations", "7", "--checkpoint-every", "1"}));
  }
  void Damage(const std::string& name) const {
    std::string bytes = ReadFile(Dir(name));
    bytes[bytes.size() / 2] ^= 1;
    scratch_.Write(name, bytes);
  }
  Arguments Endless(const Arguments& more = {}) const {
    return With(Train(Arguments{"--checkpoint-every", "1"} + more, "job"), "--epochs", "100000");
  }
  bool Trains() const { return Exists("job/checkpoint_2.lsc"); }
  // The lock on the directory is free when the last of them has gone.
  void ExpectFreeWithin(double seconds) const {
    const auto start = steady_clock::now();
    const auto passed = [&] {
      return std::chrono::duration<double>(steady_clock::now() - start).count();
    };
    for (;;) {
      try {
        const DirectoryLock lock(Dir("job"), [](const std::string&) {});
        return;
      } catch (const Error&) {
        if (passed() > seconds) throw;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
      }
    }
  }
};

TEST_F(RankFaults, A5ADamagedNewestCheckpointGivesWayToItsPredecessor) {
  const std::string hash = RunWell(Reproducible()).WeightsHash();
  RunSevenSteps();
  Damage("job/checkpoint_7.lsc");
  const Outcome outcome = RunWellOn(2, Reproducible("job"));
  EXPECT_EQ(Count(outcome.out, "warning: "), 1) << outcome.out;
  EXPECT_THAT(outcome.out, HasSubstr("/checkpoint_6.lsc at iteration 6\n"));
  EXPECT_EQ(outcome.WeightsHash(), hash);
}

// Hosts that do not share the folder, and another one is named first than was before.
TEST_F(RankFaults, A4ANewerCheckpointOfAnotherHostIsNotPassedOver) {
  const auto epochs = [&](const char* number) {
    return With(Reproducible("job", {"--checkpoint-every", "1"}), "--epochs", number);
  };
  const std::string hash = RunWell(epochs("3")).WeightsHash();
  const int64_t newest = NewestOf("job");
  const std::filesystem::path job = Dir("job"), other = Dir("other");
  const ProgramSetting elsewhere = Wrapped(2, "--checkpoint-dir " + other.string());
  std::filesystem::rename(job, other);
  const std::string text = "other of this host has a checkpoint of iteration " +
                           std::to_string(newest) + ", that of the first process ";
  ExpectJobFails(RunProgram(epochs("3"), elsewhere), 76, text + "none; ");
  EXPECT_FALSE(HasCheckpoint("job", 1));
  RunWell(epochs("1"));
  const int64_t older = NewestOf("job");
  ExpectJobFails(RunProgram(epochs("3"), elsewhere), 76,
                 text + "one of " + std::to_string(older) + "; ");
  EXPECT_EQ(NewestOf("job"), older);
  // Anew, as was asked for; then the first one's is the newer one.
  const Outcome anew = RunProgram(epochs("3") + Arguments{"--resume", "False"}, elsewhere);
  EXPECT_EQ(anew.code, 0) << anew.err;
  EXPECT_EQ(anew.WeightsHash(), hash);
  RunWell(epochs("4"));
  const Outcome next = RunProgram(epochs("5"), elsewhere);
  EXPECT_EQ(next.code, 0) << next.err;
  EXPECT_THAT(next.out, testing::HasSubstr("# resumed from "));
}

TEST_F(RankFaults, A5WhereAllAreDamagedNothingStartsAnew) {
  RunSevenSteps();
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(Dir("job"))) {
    if (entry.path().extension() == ".lsc")
      names.push_back("job/" + entry.path().filename().string());
  }
  ASSERT_GE(names.size(), 2U);
  for (const std::string& name : names) Damage(name);
  const Outcome outcome = RunOn(2, Reproducible("job"));
  ExpectJobFails(outcome, 65, Dir("job"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("model saved")));
  for (const std::string& name : names) EXPECT_TRUE(Exists(name)) << name;
}

TEST_F(RankFaults, A7ASecondJobOnTheDirectoryIsRefused) {
  scratch_.MakeDirectory("job");
  const DirectoryLock lock(Dir("job"), [](const std::string&) {});
  const Outcome outcome = RunOn(2, Train({}, "job"));
  ExpectJobFails(outcome, 73, "process " + std::to_string(::getpid()));
  EXPECT_EQ(outcome.out, "");
}

TEST_F(RankFaults, A9ACheckpointOfAnotherNetworkIsRefused) {
  RunSevenSteps();
  const Arguments wider = With(Reproducible("job"), "--width", "0.125");
  ExpectJobFails(
      RunOn(2, wider), 76,
      "was written with --width 0.0625 (this job: 0.125); give what it was written with");
  ExpectFreeWithin(1.0);
  EXPECT_TRUE(Exists("job/checkpoint_7.lsc"));
}

// While they meet, load data, train, evaluate or save: saved within 2 s, or nothing to save yet.
// Two seconds more for mpirun, which looks for the end of its processes now and then.
TEST_F(RankFaults, B3TermAtAnyMomentEndsTheJobInTime) {
  const auto named = [&](const std::string& name) {
    return Reproducible(name, {"--epochs", "24", "--checkpoint-every", "1"});
  };
  const Arguments job = named("job");
  const auto start = steady_clock::now();
  const std::string hash = RunWell(named("whole") + Arguments{"--ranks", "2"}).WeightsHash();
  const std::chrono::duration<double> whole = steady_clock::now() - start;
  int stopped = 0, before_the_first_step = 0;
  for (int part = 1; part <= 10; ++part) {
    Program program(job + Arguments{"--ranks", std::to_string(1 + part % 3)}, Setting());
    std::this_thread::sleep_for(whole * part / 12.0);
    program.Signal(SIGTERM);
    const auto asked = steady_clock::now();
    const Outcome outcome = program.Wait();
    EXPECT_LT(steady_clock::now() - asked, std::chrono::seconds(4)) << outcome.out << outcome.err;
    EXPECT_THAT(outcome.code, testing::AnyOf(0, 75)) << outcome.signal << outcome.err;
    if (outcome.code == 75) {
      ++before_the_first_step;
      ExpectRefusal(outcome, 75, {"before the first step"});
    }
    std::smatch times;
    const bool stops = std::regex_search(
        outcome.out, times,
        std::regex("stopped by [^\n]*, ([0-9.]+) s after it; everything was saved ([0-9.]+) s"));
    if (stops) {
      ++stopped;
      EXPECT_LT(std::stod(times[1]), 2.0) << outcome.out;
      EXPECT_LT(std::stod(times[2]), 2.0) << outcome.out;
    }
    EXPECT_EQ(stops, outcome.out.find("stopped by ") != std::string::npos) << outcome.out;
    if (outcome.code == 0 && !stops) std::filesystem::remove_all(Dir("job"));  // it was at its end
  }
  std::cout << before_the_first_step << " times before the first step, " << stopped << " behind\n";
  EXPECT_GT(stopped, 2);
  EXPECT_EQ(RunWell(job + Arguments{"--ranks", "2"}).WeightsHash(), hash);
}

TEST_F(RankFaults, B7TheyEndWithTheLauncher) {
  Program program(Endless(), Wrapped(3));
  ASSERT_TRUE(program.WaitUntil([&] { return Trains(); }));
  const std::vector<pid_t> pids = Pids(3);
  program.Signal(SIGKILL);
  EXPECT_EQ(program.Wait().signal, SIGKILL);
  ExpectGone(pids, 5.0);
  ExpectFreeWithin(1.0);
}

// mpirun kills its processes hardly after their SIGTERM, and ends with a code of its own. What was
// saved before is whole.
TEST_F(RankFaults, B6TermToTheLauncherLosesNoCheckpoint) {
  const Arguments more{"--checkpoint-every", "1"};
  {
    Program program(With(Reproducible("job", more), "--epochs", "100000"), Wrapped(2));
    ASSERT_TRUE(program.WaitUntil([&] { return Trains(); }));
    program.Signal(SIGTERM);
    EXPECT_NE(program.Wait().code, 0);
  }
  const Outcome next = RunOn(1, With(Reproducible("job"), "--epochs", "4"));
  EXPECT_EQ(next.code, 0) << next.err;
  EXPECT_THAT(next.out, HasSubstr("# resumed from "));
}

TEST_F(RankFaults, C5AModelDirectoryThatCannotBeIsKnownBeforeTheFirstStep) {
  scratch_.Write("model", "a file");
  const Outcome outcome = RunOn(2, Train());
  ExpectJobFails(outcome, 73, Dir("model"));
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(ReadFile(Dir("model")), "a file");
}

TEST_F(RankFaults, E1SamplesOfAnotherShapeAreNamed) {
  Arrays large = Pictures(70);
  large["data"] = Tensor(DType::kUint8, Shape({70, 3, 9, 9}));
  const std::string dir = Channel("large", large);
  const std::string change = "--train " + dir + " --test " + dir;
  for (const char* shape : {"(3, 9, 9)", "(3, 8, 8)"}) {
    ExpectRefusedAtTheStart({}, Wrapped(2, change), 76, shape);
  }
}

TEST_F(RankFaults, E3AnotherProgramIsRefused) {
  const std::string other = Dir("other");
  std::filesystem::copy_file(LOCKSTEP_PROGRAM, other);
  std::ofstream(other, std::ios::app) << "x";
  ProgramSetting setting = Under(Setting(), 2);
  const std::string script =
      "if [ $OMPI_COMM_WORLD_RANK = 1 ]; then shift; exec " + other + " \"$@\"; fi; exec \"$@\"";
  setting.launcher.insert(setting.launcher.end(), {"/bin/sh", "-c", script, "sh"});
  ExpectRefusedAtTheStart({}, setting, 76, "the program is ");
}

// Ranks of several hosts are named with them, in whatever one of them alone has met.
TEST_F(RankFaults, TheLineOfOneRankNamesItsHost) {
  if (std::system("unshare -u true 2>/dev/null") != 0) GTEST_SKIP() << "no namespaces here";
  const auto elsewhere = [&](const std::string& more) {
    ProgramSetting setting = Under(Setting(), 2);
    const std::string script =
        "if [ $OMPI_COMM_WORLD_RANK = 1 ]; then exec unshare -u sh -c "
        "'hostname algo-2; exec \"$@\" " +
        more + "' sh \"$@\"; fi; exec \"$@\"";
    setting.launcher.insert(setting.launcher.end(), {"/bin/sh", "-c", script, "sh"});
    return setting;
  };
  ExpectJobFails(RunProgram(Train(), elsewhere("--train " + Dir("nowhere"))), 66,
                 "rank 1 at algo-2: ");
  ExpectJobFails(RunProgram(Train(), elsewhere("--seed 7")), 76, ", 7 on rank 1 at algo-2; ");
}

// A fake mpirun says and does what it is told to.
class FakeLauncher : public Ranks {
 protected:
  ProgramSetting With(const std::string& script) const {
    const std::string path = scratch_.Write("bin/mpirun", "#!/bin/sh\n" + script);
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    ProgramSetting setting = Setting({{"SM_OUTPUT_DIR", Dir("")}});
    setting.variables["PATH"] = Dir("bin") + ":/usr/bin:/bin";
    return setting;
  }
};

TEST_F(FakeLauncher, BehindTheReasonOfAProcessNothingIsSaid) {
  const Arguments job = Train({"--ranks", "2"});
  const std::string reason = "lockstep: rank 1 has died";
  for (const std::string& words :
       Arguments{"echo '" + reason + "' >&2",
                 "printf 'noise\nlock' >&2; sleep 0.1; echo 'step: so' >&2"}) {
    const Outcome outcome = RunProgram(job, With(words + "; kill -9 $$"));
    EXPECT_EQ(outcome.code, 69);
    EXPECT_EQ(Count(outcome.err, "lockstep: "), 1) << outcome.err;
    EXPECT_THAT(outcome.err, Not(HasSubstr("signal 9")));
  }
  ExpectJobFails(RunProgram(job, With("echo noise >&2; kill -9 $$")), 69,
                 "ended by signal 9; run again");
  const Outcome much = RunProgram(job, With("yes | head -c 1000000 >&2; exit 74"));
  EXPECT_EQ(much.code, 74);
  EXPECT_EQ(much.err.size(), 1000000U);
}

// The hyperparameters with which the Chainer containers start MPI, on one host as well.
class PlatformRanksOfAJob : public FakeLauncher {
 protected:
  // The words that mpirun gets, one a line.
  std::string WordsFor(const std::string& hyperparameters, const std::string& gpus = "0") const {
    ProgramSetting setting = With("printf '%s\\n' \"$@\"; exit 0");
    setting.variables["SM_HPS"] = hyperparameters;
    setting.variables["SM_NUM_GPUS"] = gpus;
    const Outcome outcome = RunProgram(Train(), setting);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.out;
  }
};

TEST_F(PlatformRanksOfAJob, UseMpiForcesOrForbidsIt) {
  const std::string four = R"("sagemaker_process_slots_per_host": 4)";
  EXPECT_THAT(WordsFor(R"({"sagemaker_use_mpi": true, )" + four + "}"), HasSubstr("-np\n4\n/"));
  EXPECT_THAT(
      WordsFor(R"({"sagemaker_use_mpi": "True", "sagemaker_num_processes": 3, )" + four + "}"),
      HasSubstr("-np\n3\n/"));
  for (const char* none : {"false", "\"False\"", "null"}) {
    EXPECT_THAT(WordsFor(std::string(R"({"sagemaker_use_mpi": )") + none + ", " + four + "}"),
                HasSubstr("model saved"));
  }
  ProgramSetting setting = Setting();
  setting.variables["SM_HPS"] = R"({"sagemaker_use_mpi": true, "sagemaker_num_processes": 2})";
  const Outcome outcome = RunProgram(Train(), setting);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("# processes: 2, "));
}

TEST_F(PlatformRanksOfAJob, SlotsAreOneWithoutGpusAndElseOneForEach) {
  const std::string on = R"({"sagemaker_use_mpi": true})";
  EXPECT_THAT(WordsFor(on), testing::AllOf(HasSubstr("model saved"), Not(HasSubstr("-np"))));
  EXPECT_THAT(WordsFor(on, "4"), HasSubstr("-np\n4\n/"));
}

TEST_F(PlatformRanksOfAJob, AdditionalOptionsComeAsAShellWouldSplitThem) {
  const std::string two = R"({"sagemaker_use_mpi": true, "sagemaker_num_processes": 2, )";
  EXPECT_THAT(WordsFor(two + R"("sagemaker_additional_mpi_options": )"
                             R"("-x NAME='a b'  -x \"C=\\\"d\\\"\" --tag-output ''"})"),
              HasSubstr("-np\n2\n-x\nNAME=a b\n-x\nC=\"d\"\n--tag-output\n\n/"));
  ProgramSetting setting = With("exit 0");
  setting.variables["SM_HPS"] = two + R"("sagemaker_additional_mpi_options": "-x 'A"})";
  ExpectRefusal(RunProgram(Train(), setting), 64,
                {"sagemaker_additional_mpi_options", "a quote does not end"});
  setting.variables["SM_HPS"] = R"({"sagemaker_use_mpi": true, "sagemaker_num_processes": "many"})";
  ExpectRefusal(RunProgram(Train(), setting), 64, {"sagemaker_num_processes", "many"});
}

}  // namespace
}  // namespace lockstep::tools
