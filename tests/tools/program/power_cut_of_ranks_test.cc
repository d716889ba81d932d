// A disk that loses its power under a job of several processes (fault A3).
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

#include <cstdlib>
#include <thread>

#include "engine/train/posix_file.h"
#include "tests/tools/program/job_of_ranks.h"

namespace lockstep::tools {
namespace {

// A small ext4 file system in a file, whose power can be cut; mounted while it lives, for this
// process and its children alone.
class LoopDisk {
 public:
  LoopDisk(const std::string& image, const std::string& place) : image_(image), place_(place) {
    std::filesystem::create_directories(place);
    there_ = ::unshare(CLONE_NEWNS) == 0 &&
             ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
             Does("truncate -s 64M " + image) && Does("mkfs.ext4 -q " + image) && Mount();
  }
  ~LoopDisk() {
    if (there_) Unmount();
  }
  LoopDisk(const LoopDisk&) = delete;
  LoopDisk& operator=(const LoopDisk&) = delete;

  bool there() const { return there_; }
  // EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH (fs/ext4/ext4.h): what has not reached the
  // disk by now never does.
  bool Cut() const {
    constexpr unsigned long kShutdown = _IOR('X', 125, uint32_t);
    uint32_t no_log_flush = 2;
    const FileDescriptor root(::open(place_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return ::ioctl(root.get(), kShutdown, &no_log_flush) == 0;
  }
  // Once nobody uses it.
  bool Restart() { return there_ = Unmount() && Mount(); }

 private:
  static bool Does(const std::string& command) {
    return std::system(("(PATH=$PATH:/usr/sbin:/sbin; " + command + ") >/dev/null 2>&1").c_str()) ==
           0;
  }
  bool Mount() const { return Does("mount -o loop " + image_ + " " + place_); }
  bool Unmount() const {
    for (int i = 0; i < 100; ++i) {
      if (Does("umount " + place_)) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return false;
  }

  const std::string image_, place_;
  bool there_ = false;
};

class PowerCutsOfRanks : public Ranks {
 protected:
  PowerCutsOfRanks() : Ranks(Kind::kVectors) {}

  Arguments Job(const std::string& name) const {
    return With(Reproducible(name, {"--checkpoint-every", "1"}), "--epochs", "40");
  }
};

// A checkpoint that has its name tells that the save before it was done.
TEST_F(PowerCutsOfRanks, A3LoseNoCheckpointThatWasSaved) {
  LoopDisk disk(Dir("image"), Dir("disk"));
  if (!disk.there()) GTEST_SKIP() << "no loop devices, or no mkfs.ext4, here";
  const std::string hash = RunWell(Job("whole")).WeightsHash();
  int64_t found = 0;
  for (const int ranks : {2, 3, 2}) {
    ForgetPids();
    Program program(Job("disk/job") + Arguments{"--ranks", std::to_string(ranks)}, OwnWrapped());
    ASSERT_TRUE(program.WaitUntil([&] { return HasCheckpoint("disk/job", found + 7); }));
    const std::vector<pid_t> pids = Pids(ranks);
    const int64_t named = NewestCheckpoint("disk/job");
    if (!disk.Cut()) GTEST_SKIP() << "this kernel cannot cut the power of ext4";
    const Outcome outcome = program.Wait();
    ExpectJobFails(outcome, 74, "lockstep: rank 0: ");
    ExpectGone(pids, 5.0);
    ASSERT_TRUE(disk.Restart());
    found = NewestOf("disk/job");
    EXPECT_GE(found, named - 1);
  }
  EXPECT_EQ(RunWellOn(2, Job("disk/job")).WeightsHash(), hash);
}

}  // namespace
}  // namespace lockstep::tools
