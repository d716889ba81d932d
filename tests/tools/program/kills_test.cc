// Jobs that are killed at any moment and go on with another number of processes.
#include <gmock/gmock.h>
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <thread>

#include "engine/train/checkpoint_manifest.h"
#include "tests/tools/program/job_of_ranks.h"

namespace lockstep::tools {
namespace {

using std::chrono::steady_clock;

// Tells when a file is made in a folder, before anything is in it.
class NewFiles {
 public:
  explicit NewFiles(const std::string& folder) : fd_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
    EXPECT_GE(::inotify_add_watch(fd_, folder.c_str(), IN_CREATE), 0) << folder;
  }
  ~NewFiles() { ::close(fd_); }
  NewFiles(const NewFiles&) = delete;
  NewFiles& operator=(const NewFiles&) = delete;

  // Whether one with `part` in its name was made since the last call; waits a little for one.
  bool Made(const std::string& part) const {
    pollfd wanted{.fd = fd_, .events = POLLIN, .revents = 0};
    if (::poll(&wanted, 1, 20) <= 0) return false;
    alignas(inotify_event) std::array<char, 4096> bytes{};
    bool made = false;
    for (ssize_t size; (size = ::read(fd_, bytes.data(), bytes.size())) > 0;) {
      for (const char* at = bytes.data(); at < bytes.data() + size;) {
        const auto* const event = reinterpret_cast<const inotify_event*>(at);
        made |= std::string(event->len > 0 ? event->name : "").find(part) != std::string::npos;
        at += sizeof *event + event->len;
      }
    }
    return made;
  }

 private:
  const int fd_;
};

constexpr int kSteps = 20, kMostRanks = 3;

// Any of them is killed, or all at once.
class Kills : public Ranks {
 protected:
  int Draw(int below) { return static_cast<int>(random_() % static_cast<unsigned>(below)); }
  std::chrono::microseconds Pause(double seconds) {
    return std::chrono::microseconds(Draw(static_cast<int>(seconds * 1e6) + 1));
  }
  int OtherThan(int ranks) { return 1 + (ranks + Draw(kMostRanks - 1)) % kMostRanks; }

  Arguments Job(const std::string& name, const std::string& epochs) const {
    return Reproducible(name, {"--epochs", epochs, "--checkpoint-every", "1"});
  }
  // A single one has no launcher.
  std::unique_ptr<Program> Start(int ranks, const Arguments& job) const {
    for (int rank = 0; rank < kMostRanks; ++rank) {
      std::filesystem::remove(Dir("pid." + std::to_string(rank)));
    }
    return std::make_unique<Program>(job, ranks == 1 ? Setting() : Wrapped(ranks));
  }
  bool AllBegan(int ranks) const {
    for (int rank = 0; rank < ranks && ranks > 1; ++rank) {
      if (!Exists("pid." + std::to_string(rank))) return false;
    }
    return true;
  }
  // `rank`, or all of them where it is none of these.
  void Kill(const Program& program, int ranks, int rank) const {
    if (ranks == 1) program.Signal(SIGKILL);
    for (int victim = 0; victim < ranks && ranks > 1; ++victim) {
      if (rank == victim || rank >= ranks) ::kill(PidOf(victim), SIGKILL);
    }
  }
  // Of the newest checkpoint that the folder lists, which is where a job goes on; 0 for none.
  int64_t Progress(const std::string& job) const {
    if (!Exists(job + "/MANIFEST")) return NewestCheckpoint(job);  // made anew from the files
    return ParseManifest(ReadFile(Dir(job + "/MANIFEST")), "MANIFEST").back().tag.iteration;
  }
  // Behind a kill: whether it met a checkpoint or the manifest half written, or fell between them.
  bool LeftAHalfSave(const std::string& job) const {
    if (NewestCheckpoint(job) > Progress(job)) return true;
    const auto files = std::filesystem::directory_iterator(Dir(job));
    return std::any_of(begin(files), end(files), [](const auto& file) {
      return file.path().filename().string().find(".tmp-") != std::string::npos;
    });
  }

 private:
  std::mt19937 random_{static_cast<unsigned>(SoakValue("LOCKSTEP_SOAK_SEED", 20))};
};

// Half of them behind a step, most of the others while a checkpoint is written, and some at any
// moment. LOCKSTEP_SOAK_KILLS=100 tools/soak Kills.AtAnyMoment 1 makes a hundred.
TEST_F(Kills, AtAnyMomentLeaveTheBitsOfAnUnbrokenRun) {
  const int kills = SoakKills(20);
  std::map<int, std::chrono::duration<double>> whole;
  std::string hash;
  for (int ranks = 1; ranks <= kMostRanks; ++ranks) {
    const auto start = steady_clock::now();
    const std::string unbroken = RunWellOn(ranks, Job("whole", "4")).WeightsHash();
    whole[ranks] = steady_clock::now() - start;
    if (ranks == 1) hash = unbroken;
    ASSERT_EQ(unbroken, hash) << ranks << " ranks";
    std::filesystem::remove_all(Dir("whole"));
  }

  int before_the_first = 0, training = 0, in_the_save = 0, behind_the_end = 0, same = 0;
  for (int kill = 0; kill < kills; ++kill) {
    const int ranks = 1 + kill % kMostRanks, others = OtherThan(ranks);
    const int kind = Draw(10), step = 1 + Draw(kSteps - 2);
    // Only rank 0 is ever inside the save.
    const int victim = kind < 4 ? (Draw(2) == 0 ? 0 : ranks) : Draw(ranks + 1);
    SCOPED_TRACE("kill " + std::to_string(kill) + ", " + std::to_string(ranks) + " ranks, then " +
                 std::to_string(others) + ", kind " + std::to_string(kind) + ", step " +
                 std::to_string(step) + ", victim " + std::to_string(victim));
    std::filesystem::create_directories(Dir("job"));
    const NewFiles made(Dir("job"));
    const auto program = Start(ranks, Job("job", "4"));
    program->WaitUntil([&] { return AllBegan(ranks); });
    if (kind < 4) {
      program->WaitUntil([&] { return HasCheckpoint("job", step); });
      static_cast<void>(made.Made(".tmp-"));  // of steps before
      program->WaitUntil([&] { return made.Made(".lsc.tmp-"); });
    } else if (kind < 9) {
      program->WaitUntil([&] { return HasCheckpoint("job", step); });
      std::this_thread::sleep_for(Pause(0.01));
    } else {
      std::this_thread::sleep_for(Pause(0.8 * whole[ranks].count()));
    }
    const int64_t seen = Progress("job");
    Kill(*program, ranks, victim);
    const auto at = steady_clock::now();
    const Outcome killed = program->Wait();
    EXPECT_LT(SecondsSince(at), 3.0) << killed.err;  // wherever it met them
    if (kind < 9 && victim < ranks && ranks > 1) {
      EXPECT_THAT(killed.err,
                  testing::HasSubstr("lockstep: rank " + std::to_string(victim) + " (process "));
    }

    const int64_t left = Progress("job");
    EXPECT_GE(left, seen);
    const bool ended = killed.out.find("weights sha256 ") != std::string::npos;
    // Behind its last word it may still be on its way out.
    EXPECT_TRUE(ended || killed.code != 0 || killed.signal != 0) << killed.out << killed.err;
    (ended                  ? behind_the_end
     : LeftAHalfSave("job") ? in_the_save
     : left > 0             ? training
                            : before_the_first) += 1;

    const Outcome resumed = RunWellOn(others, Job("job", "4"));
    EXPECT_EQ(Count(resumed.out, "warning: "), 0) << resumed.out;
    EXPECT_EQ(Count(resumed.out, " at iteration " + std::to_string(left) + "\n"), left > 0)
        << resumed.out;
    EXPECT_EQ(resumed.WeightsHash(), hash);
    same += resumed.WeightsHash() == hash;
    std::filesystem::remove_all(Dir("job"));
    std::filesystem::remove_all(Dir("jobmodel"));
  }
  std::cout << "counted: " << kills << " kills: " << before_the_first
            << " before the first checkpoint, " << training << " in training, " << in_the_save
            << " in a save, " << behind_the_end << " behind the end; " << same
            << " ended with the same bits\n";
  EXPECT_GT(in_the_save + training, 0);
  if (kills < 100) return;  // of few, how fast the disk is decides where they fall
  EXPECT_LT(3 * (before_the_first + behind_the_end), kills);
  EXPECT_GE(10 * in_the_save, kills);
  EXPECT_GE(4 * training, kills);
}

// The same job again and again, before it has come to its end. LOCKSTEP_SOAK_KILLS=30 makes thirty.
TEST_F(Kills, OneAfterAnotherNeverTakeProgressAway) {
  const int kills = SoakKills(6);
  const std::string epochs = std::to_string(3 * kills);  // of five steps, which a kill seldom needs
  const std::string hash = RunWell(Job("whole", epochs)).WeightsHash();
  int64_t reached = 0;
  for (int kill = 0; kill < kills; ++kill) {
    const int ranks = 1 + Draw(kMostRanks);
    const int64_t least = reached + 1 + Draw(4);
    SCOPED_TRACE("from " + std::to_string(reached) + " on, " + std::to_string(ranks) + " ranks");
    const auto program = Start(ranks, Job("job", epochs));
    ASSERT_TRUE(program->WaitUntil([&] { return AllBegan(ranks) && Progress("job") >= least; }));
    std::this_thread::sleep_for(Pause(0.01));
    const int64_t seen = Progress("job");
    Kill(*program, ranks, Draw(ranks + 1));
    const Outcome killed = program->Wait();
    EXPECT_FALSE(killed.code == 0 && killed.signal == 0) << killed.out;
    EXPECT_GE(Progress("job"), seen);
    reached = Progress("job");
  }
  const Outcome last = RunWellOn(1 + Draw(kMostRanks), Job("job", epochs));
  EXPECT_THAT(last.out, testing::HasSubstr(" at iteration " + std::to_string(reached) + "\n"));
  EXPECT_EQ(last.WeightsHash(), hash);
}

}  // namespace
}  // namespace lockstep::tools
