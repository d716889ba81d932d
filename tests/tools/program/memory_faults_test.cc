// A rank whose memory goes wrong while it trains (faults E6 and E7), under the real mpirun.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <bit>
#include <cstring>
#include <limits>
#include <regex>
#include <sstream>
#include <string_view>

#include "data/npz.h"
#include "engine/train/posix_file.h"
#include "tests/tools/program/job_of_ranks.h"

namespace lockstep::tools {
namespace {

using testing::HasSubstr;

// The private memory of another process.
class Memory {
 public:
  explicit Memory(pid_t process)
      : process_(std::to_string(process)),
        file_(::open(("/proc/" + process_ + "/mem").c_str(), O_RDWR | O_CLOEXEC)) {}

  bool there() const { return file_.get() >= 0; }

  // Where these bytes lie, be it the array itself or a copy that nobody needs any more.
  std::vector<off_t> Find(std::string_view bytes) const {
    std::vector<off_t> found;
    std::istringstream maps(ReadFile("/proc/" + process_ + "/maps"));
    for (std::string line; std::getline(maps, line);) {
      unsigned long begin = 0, end = 0;
      if (std::sscanf(line.c_str(), "%lx-%lx rw-p ", &begin, &end) != 2) continue;
      // Larger ones are no heap but what sanitizers keep.
      if (line.find(" rw-p ") == std::string::npos || end - begin > kMostBytes) continue;
      std::string part(end - begin, '\0');
      const ssize_t size =
          ::pread(file_.get(), part.data(), part.size(), static_cast<off_t>(begin));
      part.resize(size < 0 ? 0 : static_cast<size_t>(size));
      for (size_t at = 0; (at = part.find(bytes, at)) != std::string::npos; ++at) {
        found.push_back(static_cast<off_t>(begin + at));
      }
    }
    return found;
  }
  bool Write(off_t at, uint32_t value) const {
    return ::pwrite(file_.get(), &value, sizeof value, at) == sizeof value;
  }

 private:
  static constexpr size_t kMostBytes = size_t{256} << 20;

  const std::string process_;
  const FileDescriptor file_;
};

// Three ranks that train at a rate of nothing: weights stay what they are, to the bit, and so can
// be found.
class MemoryFaults : public Ranks {
 protected:
  static constexpr int64_t kEvery = 20;
  static constexpr const char* kName = "predictor/l1/W";

  MemoryFaults() : Ranks(Kind::kVectors) {}

  Arguments Job(const Arguments& more = {}) const {
    const std::string every = std::to_string(kEvery);
    return Train(
        Arguments{"--learning-rate", "1e-30", "--check-every", every, "--checkpoint-every", every} +
            more,
        "job");
  }
  // The bytes of the array in the model.
  std::string Saved() const {
    const Tensor weights = NpzReader(Dir("jobmodel/model.npz")).Read(kName);
    return {static_cast<const char*>(weights.data()), weights.bytes()};
  }
  // Runs the job, and while rank 1 is stopped, writes `change` of that element wherever rank 1 has
  // the weights. Then rank 1 must end the job in two more checks.
  void RunAndSpoil(uint32_t (*change)(uint32_t)) {
    RunWellOn(3, Job({"--iterations", "1"}));
    start_ = Saved();
    std::filesystem::remove_all(Dir("jobmodel"));
    ProgramSetting setting = Wrapped(3);
    setting.variables["SM_OUTPUT_DIR"] = Dir("");
    Program program(With(Job(), "--epochs", "100000"), setting);
    ASSERT_TRUE(program.WaitUntil([&] { return HasCheckpoint("job", kEvery); }));
    const pid_t victim = PidOf(1);
    ::kill(victim, SIGSTOP);
    const Memory memory(victim);
    if (!memory.there()) {
      ::kill(victim, SIGCONT);
      GTEST_SKIP() << "the memory of another process cannot be written here";
    }
    constexpr size_t kElement = 3;
    const std::vector<off_t> places = memory.Find(start_);
    std::cout << "the weights lie at " << places.size() << " places\n";
    uint32_t value = 0;
    std::memcpy(&value, start_.data() + kElement * sizeof value, sizeof value);
    for (const off_t place : places) {
      EXPECT_TRUE(memory.Write(place + static_cast<off_t>(kElement * sizeof value), change(value)));
    }
    EXPECT_FALSE(places.empty()) << "weights not found";
    // What rank 0 has begun it may still save.
    while (HasCheckpoint("job", spoilt_behind_ + 1)) ++spoilt_behind_;
    const auto start = std::chrono::steady_clock::now();
    ::kill(victim, SIGCONT);
    if (program.WaitUntil([&] { return SecondsSince(start) > 20.0; })) {
      ADD_FAILURE() << "the job goes on";
      program.Signal(SIGKILL);
    }
    outcome_ = program.Wait();
  }
  // Ended with `code` and one line, which the failure file has, too.
  void ExpectStopped(int code, const std::string& text) const {
    ExpectJobFails(outcome_, code, text);
    EXPECT_EQ(Count(outcome_.err, "lockstep: "), 1) << outcome_.err;
    EXPECT_EQ("lockstep: " + ReadFile(Dir("failure")),
              Between(outcome_.err, "lockstep: ", "\n") + "\n");
  }
  // The step that the line names comes soon; no later one was saved, nor this one, nor a model. The
  // job goes on from the last good checkpoint with the weights that it had.
  void ExpectNothingSavedOver() const {
    std::smatch named;
    ASSERT_TRUE(std::regex_search(outcome_.err, named, std::regex("at iteration ([0-9]+)")))
        << outcome_.err;
    const int64_t step = std::stol(named[1]), newest = NewestOf("job");
    EXPECT_GE(newest, spoilt_behind_);
    EXPECT_LE(step, spoilt_behind_ + 2 * kEvery);
    EXPECT_LT(newest, step);
    EXPECT_GE(newest, step - kEvery);
    EXPECT_FALSE(Exists("jobmodel/model.npz"));
    const Outcome next = RunWellOn(2, Job({"--iterations", std::to_string(newest + 3)}));
    EXPECT_THAT(next.out, HasSubstr("# resumed from "));
    EXPECT_EQ(Saved(), start_);
  }

  std::string start_;          // the weights
  int64_t spoilt_behind_ = 0;  // the newest checkpoint then
  Outcome outcome_;
};

TEST_F(MemoryFaults, E6ANumberThatIsNoneOnOneRankStopsAllAndIsNamed) {
  RunAndSpoil(
      [](uint32_t) { return std::bit_cast<uint32_t>(std::numeric_limits<float>::quiet_NaN()); });
  if (IsSkipped() || HasFatalFailure()) return;
  ExpectStopped(65, "lockstep: rank 1: the loss is nan at iteration ");
  EXPECT_THAT(outcome_.err, HasSubstr(std::string(kName) + " is not finite"));
  ExpectNothingSavedOver();
}

TEST_F(MemoryFaults, E7AFlippedBitOfAWeightIsFoundBeforeTheNextSave) {
  RunAndSpoil([](uint32_t value) { return value ^ 1U; });
  if (IsSkipped() || HasFatalFailure()) return;
  ExpectStopped(76,
                "lockstep: rank 1 holds other values than most in predictor/l1/W at iteration ");
  ExpectNothingSavedOver();
}

}  // namespace
}  // namespace lockstep::tools
