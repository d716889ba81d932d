// Kernel threads that wait for each other where processes share cores.
#include "kernels/cpu/crowd.h"

#include <gtest/gtest.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "kernels/backend.h"
#include "kernels/cpu/cores.h"
#include "kernels/cpu/parallel.h"

namespace lockstep::cpu {
namespace {

using std::chrono::duration;
using std::chrono::steady_clock;

double CpuSeconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Thread 0 of two sleeps for some time again and again; for what part of it thread 1, which waits,
// keeps a core.
double PartSpun() {
  constexpr int kWaits = 200;
  SetThreads(2);
  const auto start = steady_clock::now();
  const double cpu = CpuSeconds();
  for (int i = 0; i < kWaits; ++i) {
    ParallelThreads([](int thread, int) {
      if (thread == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
  }
  return (CpuSeconds() - cpu) / duration<double>(steady_clock::now() - start).count();
}

// Alone it is nearly all of it, unless the environment says otherwise.
TEST(CrowdTest, WhereProcessesShareCoresWaitingThreadsKeepNone) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr) GTEST_SKIP() << "the user says how threads wait";
  const auto backend = MakeCpuBackend(2);
  ShareCores(UsableCores());
  EXPECT_LT(PartSpun(), 0.25);
  ShareCores(1);
}

TEST(CrowdTest, WhereTheOthersHaveGoneTheySpinAgain) {
  for (const char* name : {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}) {
    if (std::getenv(name) != nullptr) GTEST_SKIP() << "the user says how threads wait";
  }
  if (UsableCores() < 2) GTEST_SKIP() << "two threads are a crowd here";
  const auto backend = MakeCpuBackend(2);
  ShareCores(UsableCores());
  EXPECT_LT(PartSpun(), 0.25);
  ShareCores(1);
  // Others may run on the cores meanwhile: those who sleep never spin, those who spin do once.
  double most = 0;
  for (int i = 0; i < 50 && most <= 0.5; ++i) most = std::max(most, PartSpun());
  EXPECT_GT(most, 0.5);
}

TEST(CrowdTest, ThreadsThatComeLaterAreKnown) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr) GTEST_SKIP() << "the user says how threads wait";
  ShareCores(UsableCores());
  const auto backend = MakeCpuBackend(2);
  EXPECT_LT(PartSpun(), 0.25);
  ShareCores(1);
}

TEST(CrowdTest, CoresAreDividedAmongTheirProcesses) {
  const int all = UsableCores();
  EXPECT_EQ(OwnCores(), all);
  ShareCores(all + 1);
  EXPECT_EQ(OwnCores(), 1);
  EXPECT_EQ(MakeCpuBackend()->threads(), 1);
  EXPECT_EQ(MakeCpuBackend(3)->threads(), 3);
  ShareCores(1);
  EXPECT_EQ(OwnCores(), all);
}

}  // namespace
}  // namespace lockstep::cpu
