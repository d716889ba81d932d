// Ranks as processes of one host, and what becomes of them when one dies.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "comm/shm/process_watch.h"
#include "comm/shm/shared_memory.h"
#include "comm/shm/shm_communicator.h"
#include "kernels/error.h"
#include "tests/comm/contract.h"
#include "tests/comm/processes.h"

namespace lockstep::testing {
namespace {

using Case = std::tuple<int, Check>;
using std::chrono::steady_clock;

class ShmContract : public ::testing::TestWithParam<Case> {};

TEST_P(ShmContract, Holds) {
  const auto& [size, check] = GetParam();
  const auto run = check.run;
  const auto statuses = RunProcesses(size, [&, n = size](int rank, const ExchangeBytes& exchange) {
    const auto communicator =
        MakeShmCommunicator({.rank = rank, .size = n, .world_rank = rank}, exchange);
    EXPECT_EQ(communicator->name(), "shm");
    run(*communicator);
  });
  EXPECT_THAT(statuses, ::testing::Each(0));
}

INSTANTIATE_TEST_SUITE_P(Of, ShmContract,
                         ::testing::Combine(::testing::Values(1, 2, 3, 4, 5, 7),
                                            ::testing::ValuesIn(ContractChecks().begin(),
                                                                ContractChecks().end())),
                         [](const ::testing::TestParamInfo<Case>& info) {
                           return std::string(std::get<1>(info.param).name) + "_" +
                                  std::to_string(std::get<0>(info.param));
                         });

std::string ErrorOf(const std::function<void()>& fn) {
  try {
    fn();
  } catch (const CommError& error) {
    EXPECT_EQ(error.code(), ExitCode::kPeerLost);
    return error.what();
  }
  return "";
}

// The others are in the middle of allreduces, or wait in one.
void LoseARank(int size, int victim) {
  const auto statuses = RunProcesses(size, [&](int rank, const ExchangeBytes& exchange) {
    const auto c =
        MakeShmCommunicator({.rank = rank, .size = size, .world_rank = rank + 10}, exchange);
    std::vector<float> data(200000, 1.0F);
    for (int i = 0; i < 20; ++i) {
      c->Allreduce(data.data(), 200000, WireType::kFloat32, ReduceOp::kMax);
    }
    if (rank == victim) ::raise(SIGKILL);
    const auto began = steady_clock::now();
    const std::string error =
        ErrorOf([&] { c->Allreduce(data.data(), 200000, WireType::kFloat32, ReduceOp::kMax); });
    EXPECT_LT(steady_clock::now() - began, std::chrono::seconds(2));
    EXPECT_THAT(error, ::testing::HasSubstr("allreduce on rank " + std::to_string(rank + 10) +
                                            ": rank " + std::to_string(victim + 10) + " (process"));
    EXPECT_THAT(error, ::testing::AnyOf(::testing::HasSubstr("has died"),
                                        ::testing::HasSubstr("has left")));
  });
  for (int rank = 0; rank < size; ++rank) {
    const int status = statuses[static_cast<size_t>(rank)];
    if (rank == victim) {
      EXPECT_TRUE(WIFSIGNALED(status));
    } else {
      EXPECT_EQ(status, 0) << rank;
    }
  }
}

// What the system has mapped in huge pages of memory that processes share, in this process.
size_t KilobytesInHugePages() {
  std::ifstream maps("/proc/self/smaps");
  size_t total = 0, kilobytes = 0;
  for (std::string line; std::getline(maps, line);) {
    if (std::sscanf(line.c_str(), "ShmemPmdMapped: %zu kB", &kilobytes) == 1) total += kilobytes;
  }
  return total;
}

// Whether the system makes huge pages of shared memory, and has so many.
bool HasHugePages(size_t count) {
  const FileDescriptor probe = MakeMemory(count * kHugePage);
  const std::shared_ptr<std::byte> pages = MapMemory(probe, count * kHugePage);
  const size_t before = KilobytesInHugePages();
  UseHugePages(pages.get(), count * kHugePage);
  return KilobytesInHugePages() >= before + count * kHugePage / 1024;
}

TEST(Shm, LargeBuffersLieInHugePages) {
  if (!HasHugePages(8)) {
    GTEST_SKIP() << "this system makes no huge pages of shared memory (Linux 6.1), or has too few";
  }
  const size_t before = KilobytesInHugePages();
  constexpr size_t kBytes = 2 * kHugePage + 100 * sizeof(float);
  constexpr auto kCount = static_cast<int64_t>(kBytes / sizeof(float));
  const auto statuses = RunProcesses(2, [&](int rank, const ExchangeBytes& exchange) {
    const auto c = MakeShmCommunicator({.rank = rank, .size = 2, .world_rank = rank}, exchange);
    const std::shared_ptr<std::byte> memory = c->Allocate(kBytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(memory.get()) % kHugePage, 0U);
    const std::span<float> values(reinterpret_cast<float*>(memory.get()), kCount);
    EXPECT_THAT(values, ::testing::Each(0.0F));
    std::fill(values.begin(), values.end(), 1.0F + static_cast<float>(rank));
    c->Allreduce(values.data(), kCount, WireType::kFloat32, ReduceOp::kSum);
    EXPECT_THAT(values, ::testing::Each(3.0F));
    EXPECT_GE(KilobytesInHugePages(), before + 2 * kHugePage / 1024);
  });
  EXPECT_THAT(statuses, ::testing::Each(0));
}

TEST(Shm, TheDeathOfARankIsNoticedAndNamed) {
  LoseARank(2, 0);
  LoseARank(2, 1);
}

// When one rank has noticed and ends, others may meet its absence first; nobody hangs.
TEST(Shm, NobodyHangsWhenARankIsKilledAtAnyMoment) {
  for (int trial = 0; trial < 10; ++trial) {
    const auto began = steady_clock::now();
    const auto statuses = RunProcesses(3, [&](int rank, const ExchangeBytes& exchange) {
      const auto c = MakeShmCommunicator({.rank = rank, .size = 3, .world_rank = rank}, exchange);
      const std::shared_ptr<std::byte> memory = c->Allocate(400000);
      if (rank == 1) ::ualarm(static_cast<useconds_t>(1000 + trial * 1777), 0);
      const std::string error = ErrorOf([&] {
        for (;;) c->Allreduce(memory.get(), 100000, WireType::kFloat32, ReduceOp::kSum);
      });
      EXPECT_THAT(error,
                  ::testing::ContainsRegex("rank [0-2] \\(process [0-9]+\\) has (died|left)"));
    });
    EXPECT_EQ(statuses[0], 0);
    EXPECT_TRUE(WIFSIGNALED(statuses[1]));
    EXPECT_EQ(statuses[2], 0);
    EXPECT_LT(steady_clock::now() - began, std::chrono::seconds(5));
  }
}

TEST(Shm, MemoryIsNotThatOfDevShm) {
  const FileDescriptor memory = MakeMemory(size_t{1} << 20);
  char target[64] = {};
  const std::string link = "/proc/self/fd/" + std::to_string(memory.get());
  ASSERT_GT(::readlink(link.c_str(), target, sizeof target - 1), 0);
  EXPECT_THAT(std::string(target), ::testing::StartsWith("/memfd:lockstep"));
}

TEST(Shm, MemoryThatIsTooSmallIsRefused) {
  const FileDescriptor memory = MakeMemory(4096);
  EXPECT_NO_THROW(MapMemory(memory, 4096));
  EXPECT_THROW(MapMemory(memory, 4097), CommError);
}

TEST(Shm, OffersAreTakenByNameAndEndWithTheirMaker) {
  EXPECT_THROW(TakeDescriptor("lockstep-nobody", [] {}), CommError);
  EXPECT_THROW(TakeDescriptor("", [] {}), CommError);
  EXPECT_THROW(TakeDescriptor(std::string(200, 'x'), [] {}), CommError);
  DescriptorOffer offer;
  const FileDescriptor memory = MakeMemory(4096);
  int checks = 0;
  EXPECT_THROW(offer.Give(memory, 1,
                          [&] {
                            if (++checks == 2) throw CommError("nobody comes");
                          }),
               CommError);
}

TEST(ProcessWatch, SeesAnEndedProcessBeforeItsParentAsks) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::usleep(30000);
    ::_exit(0);
  }
  const ProcessWatch watch({static_cast<int32_t>(::getpid()), static_cast<int32_t>(child)});
  EXPECT_FALSE(watch.HasEnded(0));
  for (int i = 0; i < 500 && !watch.HasEnded(1); ++i) ::usleep(10000);
  EXPECT_FALSE(watch.HasEnded(0));
  EXPECT_TRUE(watch.HasEnded(1));
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(ProcessWatch({static_cast<int32_t>(child)}).HasEnded(0));
}

}  // namespace
}  // namespace lockstep::testing
