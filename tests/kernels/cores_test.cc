// Cores of a process in containers, whose limits lie in folders of our own here.
#include "kernels/cpu/cores.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "tests/temporary_directory.h"

namespace lockstep::cpu {
namespace {

class CoresTest : public ::testing::Test {
 protected:
  CoresTest() {
    cpu_set_t set;
    EXPECT_EQ(sched_getaffinity(0, sizeof set, &set), 0);
    all_ = CPU_COUNT(&set);
    Write("proc/self/cgroup", "0::/\n");
  }

  void Write(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  int Cores() const { return UsableCores((root_ / "proc").string(), (root_ / "cgroup").string()); }

  const TemporaryDirectory directory_;
  const std::filesystem::path root_ = directory_.path();
  int all_ = 0;
};

TEST_F(CoresTest, AreNamed) {
  const std::string mask = AffinityMask();
  EXPECT_EQ(std::count(mask.begin(), mask.end(), ' ') + 1, all_) << mask;
  cpu_set_t set;
  ASSERT_EQ(sched_getaffinity(0, sizeof set, &set), 0);
  std::istringstream cores(mask);
  for (int core = 0; cores >> core;) EXPECT_TRUE(CPU_ISSET(core, &set)) << mask;
}

TEST_F(CoresTest, AreThoseOfTheAffinityMaskWithoutLimit) {
  EXPECT_EQ(Cores(), all_);
  for (const char* text : {"max 100000\n", "", "x", "0 0", "-1 100000", "100000000000 100000"}) {
    Write("cgroup/cpu.max", text);
    EXPECT_EQ(Cores(), all_) << text;
  }
  Write("cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  Write("cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Cores(), all_);
}

TEST_F(CoresTest, AreAtMostTheContainersCpuTime) {
  Write("cgroup/cpu.max", "100000 100000\n");
  EXPECT_EQ(Cores(), 1);
  Write("cgroup/cpu.max", "20000 100000\n");
  EXPECT_EQ(Cores(), 1);
  Write("cgroup/cpu.max", "110000 100000\n");
  EXPECT_EQ(Cores(), std::min(all_, 2));
}

TEST_F(CoresTest, OfTheFirstVersion) {
  Write("cgroup/cpu/cpu.cfs_quota_us", "50000\n");
  Write("cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Cores(), 1);
}

TEST_F(CoresTest, EveryGroupAboveTheProcessCounts) {
  Write("proc/self/cgroup", "12:cpu:/other\n0::/a/b\n");
  Write("cgroup/a/b/cpu.max", "max 100000\n");
  EXPECT_EQ(Cores(), all_);
  Write("cgroup/a/cpu.max", "30000 100000\n");
  EXPECT_EQ(Cores(), 1);
}

TEST(StartableThreads, AreThoseWantedWhereNothingForbidsThem) {
  EXPECT_EQ(StartableThreads(0), 0);
  EXPECT_EQ(StartableThreads(7), 7);
}

}  // namespace
}  // namespace lockstep::cpu
