// Files that jobs of several processes meet or cannot write (faults A6, A10, A13, B8, C4, C6, C7).
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <span>

#include "engine/train/crc32c.h"
#include "tests/tools/program/job_of_ranks.h"

namespace lockstep::tools {
namespace {

using testing::HasSubstr;
using testing::Not;

class FileFaults : public Ranks {
 protected:
  Arguments Saving(const Arguments& more = {}) const {
    return Train(Arguments{"--checkpoint-every", "1"} + more, "job");
  }
};

TEST_F(FileFaults, A6TemporaryFilesOfTheDeadAreSwept) {
  const pid_t dead = ::fork();
  if (dead == 0) ::_exit(0);
  ::waitpid(dead, nullptr, 0);
  for (int i = 0; i < 100; ++i) {
    scratch_.Write("job/" + std::to_string(i) + ".tmp-" + std::to_string(dead), "x");
  }
  const std::string living = "job/checkpoint_1.lsc.tmp-" + std::to_string(::getpid());
  scratch_.Write(living, "x");
  RunWellOn(2, Saving());
  EXPECT_FALSE(Exists("job/7.tmp-" + std::to_string(dead)));
  EXPECT_FALSE(Exists("job/99.tmp-" + std::to_string(dead)));
  EXPECT_TRUE(Exists(living));
}

TEST_F(FileFaults, A10ACheckpointOfANewerFormatIsRefused) {
  RunWellOn(2, Saving({"--iterations", "2"}));
  std::string bytes = ReadFile(Dir("job/checkpoint_2.lsc"));
  uint64_t header = 0;
  std::memcpy(&header, bytes.data() + 24, sizeof header);
  bytes[8] = 9;
  const uint32_t sum = Crc32c(std::as_bytes(std::span(bytes).first(header - 4)));
  std::memcpy(bytes.data() + header - 4, &sum, sizeof sum);
  scratch_.Write("job/checkpoint_2.lsc", bytes);
  ExpectJobFails(RunOn(2, Saving()), 65, "written by version 9");
  EXPECT_TRUE(Exists("job/checkpoint_1.lsc"));
}

TEST_F(FileFaults, A13ACheckpointDeletedWhileTheyTrainIsAWarning) {
  Program program(With(Saving(), "--epochs", "100000"), Wrapped(2));
  ASSERT_TRUE(program.WaitUntil([&] { return HasCheckpoint("job", 2); }));
  for (const auto& entry : std::filesystem::directory_iterator(Dir("job"))) {
    if (entry.path().extension() == ".lsc") std::filesystem::remove(entry);
  }
  ASSERT_TRUE(
      program.WaitUntil([&] { return program.Output().find("warning: ") != std::string::npos; }));
  ::kill(PidOf(1), SIGTERM);
  const Outcome outcome = program.Wait();
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(RunWellOn(2, Saving()).out, HasSubstr("# resumed from "));
}

// mpirun itself, started by others, ends the job behind some lines that nobody reads.
TEST_F(FileFaults, B8AReaderThatHasGoneDoesNotStopThem) {
  const Arguments many{"--epochs", "20"};
  const std::string hash = RunWell(Reproducible("", many)).WeightsHash();
  ProgramSetting setting = Setting();
  setting.closed_stdout = true;
  const Outcome outcome =
      RunProgram(Reproducible("job", many + Arguments{"--ranks", "2"}), setting);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(ReadFile(Dir("jobmodel/model.json")), HasSubstr(hash));
}

TEST_F(FileFaults, C4AReadOnlyModelDirectoryIsKnownBeforeTheFirstStep) {
  if (!CanMount()) GTEST_SKIP() << "no mount namespaces here";
  scratch_.MakeDirectory("model");
  ProgramSetting setting = Under(Setting(), 2);
  const std::string mount = "mount -o bind " + Dir("model") + " " + Dir("model") +
                            " && mount -o remount,bind,ro " + Dir("model") + " && exec \"$@\"";
  setting.launcher.insert(setting.launcher.begin(),
                          {"/usr/bin/unshare", "-m", "/bin/sh", "-c", mount, "sh"});
  const Outcome outcome = RunProgram(Train(), setting);
  ExpectJobFails(outcome, 73, "Read-only file system");
  EXPECT_THAT(outcome.out, Not(HasSubstr("epoch ")));
}

// Whoever may write where a job writes could have it write elsewhere.
TEST_F(FileFaults, C6APlantedLinkIsNotFollowed) {
  const std::string victim = scratch_.Write("victim", "keep");
  for (const std::string name : {"jobmodel/model.npz", "jobmodel/model.json", "jobout/log",
                                 "jobout/loss.png", "job/LOCK", "job/MANIFEST"}) {
    std::filesystem::create_directories(std::filesystem::path(Dir(name)).parent_path());
    std::filesystem::create_symlink(victim, Dir(name));
    ExpectJobFails(RunOn(2, Saving()), 73, "symbolic link");
    EXPECT_TRUE(std::filesystem::is_symlink(Dir(name))) << name;
    std::filesystem::remove(Dir(name));
    EXPECT_FALSE(Exists("jobmodel/model.npz")) << name;
  }
  // A log that is only beside the job's results is left out.
  std::filesystem::remove(Dir("jobout/log-rank-1.txt"));
  std::filesystem::create_symlink(victim, Dir("jobout/log-rank-1.txt"));
  RunWellOn(2, Saving());
  EXPECT_EQ(ReadFile(victim), "keep");
  EXPECT_TRUE(std::filesystem::is_symlink(Dir("jobout/log-rank-1.txt")));
}

TEST_F(FileFaults, C7WithoutAFailureFileTheCodeAndTheTextAreTheSame) {
  scratch_.MakeDirectory("taken/failure");
  const std::string victim = scratch_.Write("linked/victim", "keep");
  std::filesystem::create_symlink(victim, Dir("linked/failure"));
  scratch_.Write("file", "");
  const Arguments wrong = With(Train(), "--train", Dir("nowhere"));
  for (const char* place : {"taken", "linked", "file", "absent"}) {
    for (const int ranks : {1, 2}) {
      ProgramSetting setting = ranks == 1 ? Setting() : Under(Setting(), ranks);
      setting.variables["SM_OUTPUT_DIR"] = Dir(place);
      const Outcome outcome = RunProgram(wrong, setting);
      ExpectJobFails(outcome, 66, Dir("nowhere"));
      EXPECT_EQ(Count(outcome.err, "lockstep: "), 1) << outcome.err;
    }
  }
  EXPECT_EQ(ReadFile(victim), "keep");
}

}  // namespace
}  // namespace lockstep::tools
