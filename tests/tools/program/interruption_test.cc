// Signals, kills, closed readers and file size limits in the middle of training.
#include <gmock/gmock.h>
#include <signal.h>

#include <cstdlib>
#include <filesystem>
#include <random>
#include <regex>
#include <thread>

#include "data/npz.h"
#include "tests/tools/program/workplace.h"
#include "tools/log_report.h"
#include "tools/signals.h"

namespace lockstep::tools {
namespace {

using testing::HasSubstr;

// Dropout, batch normalisation, random crops and flips: everything that has state or chance in it.
class Interruptions : public PictureWorkplace {
 protected:
  Arguments Job(const std::string& job) const {
    return Train({"--epochs", "4", "--checkpoint-every", "1"}, job);
  }
  // Stops a job before its first step; it must say so and save nothing.
  void StopEarly(const Arguments& job, const std::function<bool(const Program&)>& reached) const {
    Program program(job, Setting());
    ASSERT_TRUE(program.WaitUntil([&] { return reached(program); }));
    const auto start = std::chrono::steady_clock::now();
    program.Signal(SIGTERM);
    const Outcome stopped = program.Wait();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    EXPECT_LT(took.count(), 2.0);
    ExpectRefusal(stopped, 75, {"before the first step", "run again"});
    EXPECT_FALSE(Exists("jobmodel/model.npz"));
    EXPECT_FALSE(Exists("job/checkpoint_0.lsc"));
  }
  // Stops a job once `reached`, then lets it run to its end; the weights must be those of a job
  // that nobody stopped. It must stop behind the step that it is in, which is at most so many
  // behind the newest checkpoint.
  void StopAndResume(const Arguments& job, const Arguments& unbroken, int64_t behind,
                     const std::function<bool(const Program&)>& reached) const {
    const std::string hash = RunWell(unbroken).WeightsHash();
    Outcome stopped;
    int64_t saved = 0;
    {
      Program program(job, Setting());
      ASSERT_TRUE(program.WaitUntil([&] { return reached(program); }));
      program.Signal(SIGTERM);
      program.WaitForDelivery();
      saved = NewestCheckpoint("job");
      stopped = program.Wait();
    }
    EXPECT_EQ(stopped.code, 0) << stopped.signal << stopped.out << stopped.err;
    EXPECT_EQ(stopped.err, "");
    EXPECT_THAT(stopped.out, HasSubstr("model saved to"));
    std::smatch found;
    ASSERT_TRUE(std::regex_search(
        stopped.out, found,
        std::regex("stopped by SIGTERM at iteration ([0-9]+), ([0-9]+\\.[0-9]{2}) s after it; "
                   "everything was saved ([0-9]+\\.[0-9]{2}) s after it\n")));
    EXPECT_LE(std::stoll(found[1]), saved + behind);
    EXPECT_LE(std::stod(found[2]), 2.0);  // B1
    EXPECT_LE(std::stod(found[2]), std::stod(found[3]));
    std::cout << stopped.out.substr(stopped.out.rfind("stopped by"));
    const Outcome resumed = RunWell(job);
    EXPECT_THAT(resumed.out, HasSubstr("# resumed from"));
    EXPECT_EQ(resumed.WeightsHash(), hash);
  }
};

TEST_F(Interruptions, TermWhileDataIsLoaded) {
  // CIFAR-10 records of zeros, 600 MB of them, none on the disk.
  std::filesystem::resize_file(scratch_.Write("large/data_batch_1.bin", ""), 200'000 * 3073);
  StopEarly(With(Job("job"), "--train", Dir("large")),
            [&](const Program&) { return Exists("job/LOCK"); });
  EXPECT_EQ(RunWell(Job("job")).WeightsHash(), RunWell(Job("whole")).WeightsHash());
}

TEST_F(Interruptions, TermWhileAlgorithmsAreTimed) {
  // Large enough that this takes seconds.
  const Arguments large = With(With(Job("job"), "--width", "0.5"), "--crop", "32");
  StopEarly(With(large, "--pad", "12"), [](const Program& program) {
    return program.Output().find("# device") != std::string::npos;
  });
}

// Of 20 steps, so that waiting for its end would be found. One more than that which is under way,
// for a handler that comes late.
TEST_F(Interruptions, TermInTheMiddleOfAnEpoch) {
  const std::string channel = Channel("long", Pictures(320));
  StopAndResume(With(Job("job"), "--train", channel), With(Job("whole"), "--train", channel), 2,
                [&](const Program&) { return HasCheckpoint("job", 23); });
}

TEST_F(Interruptions, TermDuringEvaluation) {
  const Arguments large{"--test", Channel("large", Pictures(4000))};
  // Behind the last step of the second epoch, the tenth of 15, there is only the evaluation.
  StopAndResume(Train(Arguments{"--epochs", "3", "--checkpoint-every", "9"} + large, "job"),
                Train(Arguments{"--epochs", "3"} + large, "whole"), 4, [&](const Program&) {
                  if (!Exists("job/checkpoint_9.lsc")) return false;
                  std::this_thread::sleep_for(std::chrono::milliseconds(20));
                  return true;
                });
}

// Whether a signal meets an evaluation is a matter of milliseconds: each attempt is a job of its
// own.
TEST_F(Interruptions, LogOfAnInterruptedEvaluationIsCompletedOnResume) {
  const Arguments more{"--epochs", "2",      "--checkpoint-every",
                       "9",        "--test", Channel("large", Pictures(4000))};
  const auto last = [&](const std::string& job) {
    return ParseLog(ReadFile(Dir(job + "out/log")), "log").back();
  };
  RunWell(Train(more, "whole"));
  std::string job;
  for (int attempt = 0; attempt < 20 && job.empty(); ++attempt) {
    const std::string name = "job" + std::to_string(attempt);
    Program program(Train(more, name), Setting());
    ASSERT_TRUE(program.WaitUntil([&] { return HasCheckpoint(name, 9); }));
    std::this_thread::sleep_for(std::chrono::milliseconds(10 + 5 * attempt));
    program.Signal(SIGTERM);
    EXPECT_EQ(program.Wait().code, 0);
    const LogEntry entry = last(name);
    if (AsDouble(*entry.Find("epoch")) == 2 && !entry.Find("validation/main/loss")) job = name;
  }
  ASSERT_FALSE(job.empty()) << "no signal met an evaluation";
  RunWell(Train(more, job));
  const LogEntry whole = last("whole"), completed = last(job);
  ASSERT_EQ(whole.values.size(), completed.values.size());
  for (size_t i = 0; i < whole.values.size(); ++i) {
    const auto& [key, value] = whole.values[i];
    EXPECT_EQ(completed.values[i].first, key);
    if (key != "elapsed_time") {
      EXPECT_EQ(completed.values[i].second, value) << key;
    }
  }
}

TEST_F(Interruptions, InterruptAndHangupStopAsTermDoes) {
  for (const int signal : {SIGINT, SIGHUP, SIGUSR1}) {
    const std::string job = "job" + std::to_string(signal);
    Program program(Job(job), Setting());
    ASSERT_TRUE(program.WaitUntil([&] { return HasCheckpoint(job, 3); }));
    program.Signal(signal);
    const Outcome outcome = program.Wait();
    EXPECT_EQ(outcome.code, 0) << outcome.out << outcome.err;
    EXPECT_THAT(outcome.out, HasSubstr("stopped by " + SignalName(signal) + " at"));
  }
}

// Every other time at its start, else behind some steps of its own.
TEST_F(Interruptions, KilledTenTimesGivesTheBitsOfAnUnbrokenRun) {
  const auto job = [&](const std::string& name) { return Job(name) + Arguments{"--epochs", "8"}; };
  constexpr int64_t kSteps = 8 * 5;
  const std::string hash = RunWell(job("whole")).WeightsHash();
  std::mt19937 random(20);
  int met = 0;
  for (int kill = 0; kill < 10; ++kill) {
    const int64_t before = NewestCheckpoint("job");
    Program program(job("job"), Setting());
    const bool at_start = kill % 2 == 0;
    const int64_t steps = 1 + static_cast<int64_t>(random() % 6);
    if (!at_start) program.WaitUntil([&] { return HasCheckpoint("job", before + steps); });
    std::this_thread::sleep_for(std::chrono::microseconds(random() % (at_start ? 40'000 : 10'000)));
    program.Signal(SIGKILL);
    const Outcome outcome = program.Wait();
    EXPECT_TRUE(outcome.signal == SIGKILL || outcome.code == 0) << outcome.code << outcome.err;
    if (outcome.signal == SIGKILL && !HasCheckpoint("job", kSteps)) ++met;
    if (Exists("jobmodel/model.npz")) {
      EXPECT_NO_THROW(NpzReader(Dir("jobmodel/model.npz")));
    }
  }
  EXPECT_GE(met, 7);
  EXPECT_EQ(RunWell(job("job")).WeightsHash(), hash);
}

// A resumed job must not time again: another algorithm gives other bits.
TEST_F(Interruptions, KilledJobsOfTwoThreadsGoOnWithTheirOwnAlgorithms) {
  const auto on_two = [&](const std::string& job) { return With(Job(job), "--threads", "2"); };
  const std::string timed = RunWell(on_two("timed")).WeightsHash();
  RememberPlainLoops();
  const std::string hash = RunWell(on_two("whole")).WeightsHash();
  ASSERT_NE(hash, timed);
  Program program(on_two("job"), Setting());
  ASSERT_TRUE(program.WaitUntil([&] { return HasCheckpoint("job", 5); }));
  program.Signal(SIGKILL);
  ASSERT_EQ(program.Wait().signal, SIGKILL);
  std::filesystem::remove_all(Dir("cache"));
  const Outcome resumed = RunWell(on_two("job"));
  EXPECT_THAT(resumed.out, HasSubstr("# resumed from"));
  EXPECT_THAT(resumed.out, HasSubstr(", 2 threads"));
  EXPECT_EQ(resumed.WeightsHash(), hash);
}

class Limits : public Workplace {};

TEST_F(Limits, SecondSignalLeavesAtOnce) {
  // 14 million weights: saving them takes longer than the second signal.
  Program program(With(Train({"--checkpoint-every", "1"}, "job"), "--hidden", "3600,3600"),
                  Setting());
  ASSERT_TRUE(program.WaitUntil([&] { return HasCheckpoint("job", 1); }));
  program.Signal(SIGTERM);
  program.WaitForDelivery();
  program.Signal(SIGINT);
  const Outcome outcome = program.Wait();
  EXPECT_EQ(outcome.code, 75) << outcome.out;
  EXPECT_EQ(outcome.err.find("second signal"), 0U) << outcome.err;
  EXPECT_FALSE(Exists("jobmodel/model.npz"));
}

// coreutils' timeout signals its child, then the group that the child is in.
TEST_F(Limits, TimeoutsSignalsAreOne) {
  ProgramSetting setting = Setting();
  setting.launcher = {"/usr/bin/timeout", "--preserve-status", "100"};
  Program program(With(Train({"--checkpoint-every", "1"}, "job"), "--epochs", "100000"), setting);
  ASSERT_TRUE(program.WaitUntil([&] { return HasCheckpoint("job", 1); }));
  program.Signal(SIGTERM);
  const Outcome outcome = program.Wait();
  EXPECT_EQ(outcome.code, 0) << outcome.signal << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("stopped by SIGTERM"));
  EXPECT_TRUE(Exists("jobmodel/model.npz"));
}

// Every further second brings another signal, which must not pass for the second one that leaves.
TEST_F(Limits, CpuTimeLimitStopsAsTermDoes) {
  ProgramSetting setting = Setting();
  setting.launcher = {"/bin/sh", "-c", "ulimit -S -t 1; exec \"$@\"", "sh"};
  const Arguments job =
      TrainWithoutChannels({"--train", Dir("train"), "--model-dir", Dir("model"),
                            "--checkpoint-dir", Dir("job"), "--checkpoint-every", "100000000"});
  const Outcome outcome = RunProgram(With(job, "--epochs", "10000000"), setting);
  EXPECT_EQ(outcome.code, 0) << outcome.signal << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("stopped by SIGXCPU"));
  EXPECT_TRUE(Exists("model/model.npz"));
  EXPECT_TRUE(Exists("job/MANIFEST"));
}

TEST_F(Limits, StopWithoutCheckpointsIsNotCalledResumable) {
  Program program(With(Train(), "--epochs", "100000"), Setting());
  ASSERT_TRUE(program.WaitUntil([&] { return Exists("out/log"); }));
  program.Signal(SIGTERM);
  const Outcome outcome = program.Wait();
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("# no --checkpoint-dir: what is stopped cannot be resumed"));
  EXPECT_THAT(outcome.out, HasSubstr("without --checkpoint-dir the job cannot be resumed\n"));
}

TEST_F(Limits, ClosedReaderDoesNotStopTraining) {
  ProgramSetting setting = Setting();
  setting.closed_stdout = true;
  const Outcome outcome = RunProgram(Train(), setting);
  EXPECT_EQ(outcome.code, 0) << outcome.signal << outcome.err;
  EXPECT_TRUE(Exists("model/model.npz"));
  EXPECT_TRUE(Exists("out/loss.png"));
}

TEST_F(Limits, FileSizeLimitKeepsTheOldCheckpoint) {
  const Arguments wide{"--hidden", "64,64", "--epochs", "2"};
  const std::string hash = RunWell(Train(wide)).WeightsHash();
  RunWell(Train(wide + Arguments{"--iterations", "7"}, "job"));
  ProgramSetting setting = Setting();
  setting.file_bytes = 8192;
  const Outcome outcome = RunProgram(Train(wide, "job"), setting);
  ExpectRefusal(outcome, 74, {"checkpoint_", "; raise `ulimit -f`"});
  EXPECT_TRUE(Exists("job/checkpoint_7.lsc"));
  EXPECT_EQ(RunWell(Train(wide, "job")).WeightsHash(), hash);
}

// File systems that the program alone sees.
class Mounts : public Limits {
 protected:
  void SetUp() override {
    if (!CanMount()) GTEST_SKIP() << "no mount namespaces here";
    for (const char* name : {"job", "jobmodel"}) scratch_.MakeDirectory(name);
  }
  // Runs the job with `mounts` done. What it leaves in `full`, if given, lies in "kept" then.
  Outcome RunWith(const std::string& mounts, const Arguments& job,
                  const std::string& full = "") const {
    const std::string keep = full.empty() ? "true" : "cp -a " + Dir(full) + " " + Dir("kept");
    ProgramSetting setting = Setting();
    setting.launcher = {"/usr/bin/unshare",
                        "-m",
                        "/bin/sh",
                        "-c",
                        mounts + " || exit 1; \"$@\"; code=$?; " + keep + "; exit $code",
                        "sh"};
    return RunProgram(job, setting);
  }
  std::string Disk(const std::string& size, const std::string& name) const {
    return "mount -t tmpfs -o size=" + size + " none " + Dir(name);
  }

  const Arguments wide_{"--hidden", "64,64"};
};

TEST_F(Mounts, FullDiskKeepsTheOldCheckpoint) {
  const std::string hash = RunWell(Train(wide_)).WeightsHash();
  // Room for one checkpoint.
  const Arguments job = Train(wide_ + Arguments{"--checkpoint-every", "1"}, "job");
  ExpectRefusal(
      RunWith(Disk("100k", "job"), job, "job"), 74,
      {"checkpoint_2", "No space left on device; free space or choose another directory"});
  EXPECT_TRUE(Exists("jobmodel/model.npz"));
  std::filesystem::remove(Dir("job"));
  std::filesystem::rename(Dir("kept"), Dir("job"));
  for (const auto& file : std::filesystem::directory_iterator(Dir("job"))) {
    EXPECT_EQ(file.path().string().find(".tmp-"), std::string::npos) << file.path();
  }
  const Outcome resumed = RunWell(job);
  EXPECT_THAT(resumed.out, HasSubstr("/checkpoint_1.lsc at iteration 1\n"));
  EXPECT_EQ(resumed.WeightsHash(), hash);
}

TEST_F(Mounts, FullDiskOfTheModelKeepsTheLastCheckpoint) {
  const std::string hash = RunWell(Train(wide_)).WeightsHash();
  const Arguments job = Train(wide_ + Arguments{"--checkpoint-every", "3"}, "job");
  ExpectRefusal(RunWith(Disk("16k", "jobmodel"), job, "jobmodel"), 74,
                {"model.npz", "No space left on device; free space or choose another directory"});
  EXPECT_TRUE(std::filesystem::is_empty(Dir("kept")));
  const Outcome resumed = RunWell(job);
  EXPECT_THAT(resumed.out, HasSubstr("# nothing to train"));
  EXPECT_EQ(resumed.WeightsHash(), hash);
}

TEST_F(Mounts, ReadOnlyModelDirectoryIsKnownBeforeTheFirstStep) {
  const std::string dir = Dir("jobmodel");
  const std::string mount =
      "mount -o bind " + dir + " " + dir + " && mount -o remount,bind,ro " + dir;
  const Outcome outcome = RunWith(mount, Train(wide_, "job"));
  ExpectRefusal(outcome, 73,
                {dir, "Read-only file system; choose a directory this user can write to"});
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(NewestCheckpoint("job"), 0);
}

TEST_F(Limits, ClosedReaderOfARefusalIsNoSignal) {
  ProgramSetting setting = Setting();
  setting.closed_stdout = true;
  ExpectRefusal(RunProgram(Train({"--epochs", "none"}), setting), 64, {"epochs"});
}

// A log or a picture that cannot be written is an error, but not before the model is saved.
TEST_F(Limits, UnwritableResultsCostNoModel) {
  for (const std::string name : {"loss.png", "log"}) {
    const std::string job = name.substr(0, 3);
    Program program(With(Train({"--checkpoint-every", "1"}, job), "--epochs", "100000"), Setting());
    ASSERT_TRUE(program.WaitUntil([&] { return HasCheckpoint(job, 1); }));
    std::filesystem::remove(Dir(job + "out/" + name));
    scratch_.MakeDirectory(job + "out/" + name);
    const auto epochs = [&] { return ReadFile(Dir("stdout")).size(); };
    const size_t before = epochs();
    ASSERT_TRUE(program.WaitUntil([&] { return epochs() > before + 500; }));
    program.Signal(SIGTERM);
    const Outcome outcome = program.Wait();
    ExpectRefusal(outcome, 73, {name, "a directory"});
    EXPECT_THAT(outcome.out, HasSubstr("model saved to"));
    EXPECT_EQ(outcome.out.find("training goes on") != std::string::npos, name == "log");
    EXPECT_TRUE(Exists(job + "model/model.npz"));
  }
}

TEST_F(Limits, UnwritableSnapshotsCostNoModel) {
  Program program(Train({"--epochs", "400", "--snapshot-every", "200"}), Setting());
  ASSERT_TRUE(program.WaitUntil(
      [&] { return program.Output().find("elapsed_time") != std::string::npos; }));
  scratch_.MakeDirectory("out/snapshot_iter_1000");
  const Outcome outcome = program.Wait();
  ExpectRefusal(outcome, 73, {"snapshot_iter_1000", "a directory"});
  EXPECT_THAT(outcome.out, HasSubstr("snapshot_iter_1000: it is a directory"));
  EXPECT_THAT(outcome.out, HasSubstr("training goes on\n"));
  EXPECT_TRUE(Exists("out/snapshot_iter_2000"));
  EXPECT_TRUE(Exists("out/loss.png"));
  EXPECT_TRUE(Exists("model/model.npz"));
}

// The momentum makes a checkpoint twice as large as the model.
class TooLargeCheckpoints : public Limits {
 protected:
  Arguments Job(const std::string& epochs) const {
    return With(With(Train({"--checkpoint-every", "1000000"}, "job"), "--epochs", epochs),
                "--hidden", "64,64");
  }
  ProgramSetting Limited() const {
    ProgramSetting setting = Setting({{"SM_OUTPUT_DIR", Dir("failed")}});
    setting.file_bytes = 40'000;
    return setting;
  }
};

TEST_F(TooLargeCheckpoints, CostNoModel) {
  ExpectRefusal(RunProgram(Job("2"), Limited()), 74, {"checkpoint_"});
  EXPECT_TRUE(Exists("jobmodel/model.json"));
}

TEST_F(TooLargeCheckpoints, InTheMiddleOfTrainingCostNoModelEither) {
  const Outcome outcome = RunProgram(With(Job("2"), "--checkpoint-every", "3"), Limited());
  ExpectRefusal(outcome, 74, {"checkpoint_3"});
  EXPECT_THAT(outcome.out, HasSubstr("model saved to"));
  EXPECT_TRUE(Exists("jobmodel/model.json"));
}

TEST_F(TooLargeCheckpoints, OfAStoppedJobAre75InTheFailureFileToo) {
  scratch_.MakeDirectory("failed");
  Program program(Job("100000"), Limited());
  ASSERT_TRUE(program.WaitUntil([&] { return Exists("jobout/log"); }));
  program.Signal(SIGTERM);
  const Outcome outcome = program.Wait();
  ExpectRefusal(outcome, 75, {"checkpoint_"});
  EXPECT_EQ("lockstep: " + ReadFile(Dir("failed/failure")), outcome.err);
}

}  // namespace
}  // namespace lockstep::tools
