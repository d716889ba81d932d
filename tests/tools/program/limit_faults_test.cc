// What the system lets a process have is too little (faults B10 to B14), for one process and for
// one of several.
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "tests/tools/program/job_of_ranks.h"

namespace lockstep::tools {
namespace {

using testing::HasSubstr;

class LimitFaults : public Ranks {
 protected:
  // `limit` is words before the program, such as "ulimit -v 9; exec"; of several ranks on rank 1.
  ProgramSetting Limited(int ranks, const std::string& limit) const {
    ProgramSetting setting = ranks == 1 ? Setting() : Under(Setting(), ranks);
    setting.variables["SM_OUTPUT_DIR"] = Dir("");
    const std::string script =
        "if [ ${OMPI_COMM_WORLD_RANK-1} = 1 ]; then " + limit + " \"$@\"; fi; exec \"$@\"";
    setting.launcher.insert(setting.launcher.end(), {"/bin/sh", "-c", script, "sh"});
    return setting;
  }
  // Weights, gradients and momentum of `units` * `units` elements each.
  Arguments Wide(const std::string& units, const Arguments& more = {}) const {
    return Arguments{"train",      "--train",          Dir("train"), "--model",
                     "mlp",        "--hidden",         units,        "--classes",
                     "7",          "--threads",        "1",          "--iterations",
                     "1",          "--batch-size",     "16",         "--model-dir",
                     Dir("model"), "--checkpoint-dir", Dir("job")} +
           more;
  }
  // The same line in the failure file.
  void ExpectTold(const Outcome& outcome, int code, const std::string& text) const {
    EXPECT_EQ(outcome.signal, 0);
    ExpectJobFails(outcome, code, text);
    EXPECT_EQ(Count(outcome.err, "lockstep: "), 1) << outcome.err;
    EXPECT_EQ("lockstep: " + ReadFile(Dir("failure")),
              Between(outcome.err, "lockstep: ", "\n") + "\n");
    std::filesystem::remove(Dir("failure"));
  }
};

// A control group that may have 64 MB of memory; removed with the object.
class SmallMemory {
 public:
  SmallMemory() {
    const std::string name = "/lockstep-" + std::to_string(::getpid());
    for (const auto& [root, limit] : {std::pair{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
                                      std::pair{"/sys/fs/cgroup", "memory.max"}}) {
      path_ = root + name;
      if (::mkdir(path_.c_str(), 0755) != 0) continue;
      std::ofstream file(path_ + "/" + limit);
      file << (64 << 20);
      there_ = static_cast<bool>(file.flush());
      if (there_) return;
      ::rmdir(path_.c_str());
    }
  }
  // Its processes have ended; the kernel may take a moment to notice.
  ~SmallMemory() {
    for (int i = 0; i < 100 && there_ && ::rmdir(path_.c_str()) != 0; ++i) ::usleep(20'000);
  }
  SmallMemory(const SmallMemory&) = delete;
  SmallMemory& operator=(const SmallMemory&) = delete;

  bool there() const { return there_; }
  std::string Enter() const { return "echo $$ > " + path_ + "/cgroup.procs"; }

 private:
  std::string path_;
  bool there_ = false;
};

// An mpirun between the program and the real one puts rank 1 into the group.
TEST_F(LimitFaults, B10ARankThatTheSystemKillsForItsMemoryIsNamedWithTheReason) {
  const SmallMemory group;
  if (!group.there()) GTEST_SKIP() << "no control groups for memory can be made here";
  EXPECT_EQ(RunOn(2, Wide("3000,3000")).code, 0);
  const ProgramSetting setting = OwnWrapped("[ $OMPI_COMM_WORLD_RANK != 1 ] || " + group.Enter());
  const Arguments more{"--iterations", "3"};
  const Outcome outcome = RunProgram(Wide("3000,3000", more + Arguments{"--ranks", "3"}), setting);
  ExpectTold(outcome, 69, "lockstep: rank 1 (process ");
  EXPECT_THAT(outcome.err, HasSubstr("; likely for want of memory: the system has killed (signal "
                                     "9) a process of that host since the job began; "));
  EXPECT_THAT(RunWellOn(2, Wide("3000,3000", more)).out,
              HasSubstr("/checkpoint_1.lsc at iteration 1\n"));
}

TEST_F(LimitFaults, B11WithTooLittleMemoryTheBytesAreNamed) {
  RunWell(Wide("4000,4000"));
  const Arguments longer = Wide("4000,4000", {"--iterations", "2"});
  for (const char* kilobytes : {"150000", "200000", "250000"}) {
    const std::string limit = std::string("ulimit -v ") + kilobytes + "; exec";
    const Outcome outcome = RunProgram(longer, Limited(1, limit));
    ExpectTold(outcome, 71, " bytes");
    EXPECT_THAT(outcome.err, testing::ContainsRegex("(memory: [0-9]+ bytes|tensor of shape)"));
  }
  EXPECT_THAT(RunWell(longer).out, HasSubstr("/checkpoint_1.lsc at iteration 1\n"));
}

TEST_F(LimitFaults, B11ARankWithTooLittleMemoryIsNamed) {
  ExpectTold(RunProgram(Train(), Limited(2, "ulimit -v 300000; exec")), 71,
             ": out of memory: 536870912 bytes of address space for MPI, of 307200000 that this "
             "process may have; raise `ulimit -v`");
  const Outcome outcome = RunProgram(Wide("8000,8000"), Limited(2, "ulimit -v 700000; exec"));
  ExpectJobFails(outcome, 71, "lockstep: rank 1: ");
  EXPECT_THAT(ReadFile(Dir("failure")),
              testing::ContainsRegex("^rank 1: .* [0-9]+ bytes .*memory"));
  EXPECT_FALSE(Exists("model/model.npz"));
}

// Where the standard's `new` has nothing, the program's own says how much and for what.
TEST_F(LimitFaults, B11WhatAModelNeedsWhileItIsSavedIsNamedToo) {
  std::string found;
  for (int megabytes = 260; megabytes < 600 && found.empty(); megabytes += 10) {
    const std::string limit = "ulimit -v " + std::to_string(megabytes * 1024) + "; exec";
    const Outcome outcome = RunProgram(Wide("4000,4000"), Limited(1, limit));
    if (outcome.code == 0) break;
    ASSERT_EQ(outcome.code, 71) << outcome.signal << outcome.err;
    if (outcome.err.find(" bytes for saving the model; ") != std::string::npos) found = outcome.err;
  }
  EXPECT_THAT(found, testing::ContainsRegex("out of memory: [0-9]+ bytes for saving the model; "));
}

TEST_F(LimitFaults, B12WithTooFewDescriptorsTheNumberIsNamed) {
  ExpectTold(RunProgram(Train(), Limited(1, "ulimit -n 8; exec")), 71,
             "lockstep: this process needs 16 descriptors, may have 8; raise `ulimit -n`");
  ExpectTold(RunProgram(Train(), Limited(2, "ulimit -n 20; exec")), 71,
             ": each of the 2 processes needs 36 descriptors, may have 20; raise `ulimit -n`");
  EXPECT_FALSE(Exists("model"));
  for (const int ranks : {1, 2}) {
    EXPECT_EQ(RunProgram(Train(), Limited(ranks, "ulimit -S -n 8; exec")).code, 0) << ranks;
  }
}

// For the system memory that processes share is a file, too.
TEST_F(LimitFaults, B13AFileSizeLimitOfAJobKeepsTheOldCheckpoint) {
  const Arguments longer = Wide("1200,1200", {"--iterations", "2"});
  EXPECT_EQ(RunOn(2, Wide("1200,1200")).code, 0);
  ProgramSetting setting = Limited(2, "exec");
  setting.file_bytes = 8'000'000;
  ExpectTold(RunProgram(longer, setting), 71, "File too large; ranks of one host need memory and ");
  const Outcome outcome = RunProgram(longer + Arguments{"--communicator", "mpi"}, setting);
  ExpectTold(outcome, 74, "lockstep: rank 0: ");
  EXPECT_THAT(outcome.err, HasSubstr("File too large; raise `ulimit -f`"));
  EXPECT_THAT(RunWellOn(2, longer).out, HasSubstr("/checkpoint_1.lsc at iteration 1\n"));
}

TEST_F(LimitFaults, B14WithTooSmallAStackTheBytesAreNamed) {
  for (const int ranks : {1, 2}) {
    ExpectTold(RunProgram(Train(), Limited(ranks, "ulimit -s 256; exec")), 71,
               "kernels need 2097152 bytes of stack, may have 262144; raise `ulimit -s`");
  }
  EXPECT_FALSE(Exists("model"));
}

// Root may start as many as it likes.
TEST_F(LimitFaults, B14WithTooFewThreadsTheNumberIsNamed) {
  const bool root = ::geteuid() == 0;
  const std::string become = "setpriv --reuid 65534 --clear-groups ";
  if (root && std::system((become + LOCKSTEP_PROGRAM " --version >/dev/null 2>&1").c_str()) != 0) {
    GTEST_SKIP() << "nobody else may run the program where it is";
  }
  if (root) {
    ASSERT_EQ(std::system(("chown -R 65534 " + Dir("")).c_str()), 0);
  }
  for (const int ranks : {1, 2}) {
    ProgramSetting setting = Limited(ranks, "exec prlimit --nproc=1");
    if (root) {
      setting.launcher.insert(setting.launcher.begin(),
                              {"/usr/bin/setpriv", "--reuid", "65534", "--clear-groups"});
    }
    ExpectTold(RunProgram(With(Train(), "--threads", "2"), setting), 71,
               "no more threads: needs " + std::string(ranks == 1 ? "1" : "9") +
                   " besides the first, may have 0; raise `ulimit -u`");
  }
}

}  // namespace
}  // namespace lockstep::tools
