#include "kernels/backend.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <thread>
#include <vector>

#include "kernels/error.h"
#include "kernels/unavailable.h"
#include "tests/kernels/kernel_test.h"

namespace lockstep::test {
namespace {

TEST(CpuBackend, NamesItselfAndWhatItsBitsDependOn) {
  const auto b = MakeCpuBackend(3);
  EXPECT_EQ(b->name(), "cpu");
  EXPECT_EQ(b->threads(), 3);
  EXPECT_NE(b->fingerprint().find("onednn-2."), std::string::npos) << b->fingerprint();
  EXPECT_EQ(b->Mark(), nullptr);  // its calls are done when they return
}

TEST(CpuBackend, UsesTheCoresOfTheAffinityMaskByDefault) {
  EXPECT_GE(MakeCpuBackend()->threads(), 1);
}

// Threads that this loop of the backend's own kernels uses.
int ThreadsOf(Backend& b) {
  b.elementwise();
  return cpu::GetThreads();
}

TEST(CpuBackend, HasItsThreadsWhoeverCallsIt) {
  const auto three = MakeCpuBackend(3);
  const auto two = MakeCpuBackend(2);
  EXPECT_EQ(ThreadsOf(*three), 3);
  EXPECT_EQ(ThreadsOf(*two), 2);
  int elsewhere = 0;
  std::thread([&] { elsewhere = ThreadsOf(*three); }).join();
  EXPECT_EQ(elsewhere, 3);
  three->Enter();
  EXPECT_EQ(cpu::GetThreads(), 3);
}

extern "C" int omp_get_max_threads(void);

// oneDNN asks OpenMP: one thread must be said there, too, on a thread that never said anything.
TEST(CpuBackend, SaysOneThreadToOneDnnToo) {
  const auto b = MakeCpuBackend(1);
  int seen = 0;
  std::thread([&] {
    b->conv();
    seen = omp_get_max_threads();
  }).join();
  EXPECT_EQ(seen, 1);
}

TEST(CpuBackend, LanesRunOnOneThreadEach) {
  const auto b = MakeCpuBackend(3);
  std::vector<int> threads(7);
  b->ForEachLane(7, [&](int lane) {
    b->Enter();
    threads[static_cast<size_t>(lane)] = ThreadsOf(*b);
  });
  EXPECT_EQ(threads, std::vector<int>(7, 1));
  EXPECT_EQ(ThreadsOf(*b), 3);
}

// Products and convolutions too: the layouts of pictures follow the width of the vectors.
TEST(CpuBackend, KeepsToTheInstructionSetItWasMadeFor) {
  cpu::CpuBackend baseline(1, cpu::Isa::kBaseline);
  EXPECT_NE(baseline.fingerprint().find(" baseline "), std::string::npos);
  EXPECT_EQ(baseline.conv().Layouts(16, DType::kFloat32).front(), Layout{8});
  EXPECT_EQ(cpu::CpuGemm(cpu::Isa::kBaseline).lanes(), 4);
  EXPECT_EQ(cpu::SupportedIsas().back(), cpu::BestIsa());
}

TEST(CpuBackend, AllocatesAlignedMemoryOfEverySize) {
  const auto b = MakeCpuBackend(1);
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{1000}, size_t{5} << 20}) {
    void* p = b->Allocate(bytes, "a test");
    ASSERT_NE(p, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(p) % 64, 0U);
    b->Free(p);
  }
}

// Large memory on several threads.
TEST(CpuBackend, ClearsTheseBytesAndNoOthers) {
  const auto b = MakeCpuBackend(3);
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{1000}, (size_t{5} << 20) + 7}) {
    std::vector<uint8_t> memory(bytes + 2, 1);
    b->Clear(memory.data() + 1, bytes);
    EXPECT_EQ(memory.front(), 1);
    EXPECT_EQ(memory.back(), 1);
    EXPECT_EQ(std::count(memory.begin(), memory.end(), 0), static_cast<int64_t>(bytes));
  }
}

TEST(CpuBackend, NamesPurposeAndBytesOfMemoryThatIsNotThere) {
  const auto b = MakeCpuBackend(1);
  for (const size_t bytes : {size_t{1} << 60, std::numeric_limits<size_t>::max()}) {
    try {
      b->Allocate(bytes, "the weights of fc1");
      FAIL() << "got " << bytes << " bytes";
    } catch (const UnavailableError& e) {
      EXPECT_NE(std::string(e.what()).find(std::to_string(bytes)), std::string::npos);
      EXPECT_NE(std::string(e.what()).find("the weights of fc1"), std::string::npos);
    }
  }
}

TEST(CpuBackend, RefusesIntegersWhereNumbersAreWanted) {
  int32_t x = 1;
  EXPECT_THROW(MakeCpuBackend(1)->elementwise().Scale(DType::kInt32, 2, 1, &x, &x), Error);
}

}  // namespace
}  // namespace lockstep::test
