#include "kernels/cuda/caching_allocator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <map>
#include <set>

#include "kernels/unavailable.h"

namespace lockstep::cuda {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// A device of `total` bytes that hands out addresses alone.
class SmallDevice final : public RawMemory {
 public:
  explicit SmallDevice(size_t total) : total_(total) {}
  ~SmallDevice() override { EXPECT_TRUE(blocks_.empty()) << blocks_.size() << " blocks leaked"; }

  void* Take(size_t bytes) override {
    ++calls;
    if (bytes > total_ - used_) return nullptr;
    used_ += bytes;
    next_ += bytes;
    void* const memory = reinterpret_cast<void*>(next_);  // NOLINT: never read
    blocks_[memory] = bytes;
    return memory;
  }
  void Give(void* memory) noexcept override {
    ASSERT_TRUE(blocks_.contains(memory)) << "given back twice";
    used_ -= blocks_[memory];
    blocks_.erase(memory);
  }
  Room GetRoom() override { return {total_ - used_, total_}; }

  int calls = 0;

 private:
  size_t total_, used_ = 0;
  uintptr_t next_ = 4096;
  std::map<void*, size_t> blocks_;
};

constexpr size_t kMiB = size_t{1} << 20;

TEST(CachingAllocator, ClassesWasteAtMostAnEighth) {
  EXPECT_EQ(CachingAllocator::ClassOf(0), 512U);
  EXPECT_EQ(CachingAllocator::ClassOf(512), 512U);
  EXPECT_EQ(CachingAllocator::ClassOf(513), 1024U);
  EXPECT_EQ(CachingAllocator::ClassOf(kMiB), kMiB);
  std::set<size_t> classes;
  for (size_t bytes = 4096; bytes < 64 * kMiB; bytes += bytes / 61 + 1) {
    const size_t size = CachingAllocator::ClassOf(bytes);
    ASSERT_GE(size, bytes);
    ASSERT_LE(size, bytes + bytes / 8 + 1);
    ASSERT_EQ(size % 512, 0U);
    ASSERT_EQ(CachingAllocator::ClassOf(size), size);
    classes.insert(size);
  }
  EXPECT_LT(classes.size(), 14U * 8U + 8U);
}

TEST(CachingAllocator, ReusesABlockOfTheSameClassWithoutTheDevice) {
  SmallDevice device(10 * kMiB);
  CachingAllocator allocator(&device, "cuda:0");
  void* const first = allocator.Allocate(kMiB - 100, "a");
  allocator.Free(first);
  EXPECT_EQ(allocator.cached_bytes(), kMiB);
  EXPECT_EQ(allocator.Allocate(kMiB - 5, "b"), first);
  EXPECT_NE(allocator.Allocate(kMiB, "c"), first);
  EXPECT_EQ(device.calls, 2);
  EXPECT_EQ(allocator.used_bytes(), 2 * kMiB);
}

TEST(CachingAllocator, KnowsItsPeak) {
  SmallDevice device(10 * kMiB);
  CachingAllocator allocator(&device, "cuda:0");
  void* const a = allocator.Allocate(3 * kMiB, "a");
  void* const b = allocator.Allocate(2 * kMiB, "b");
  allocator.Free(a);
  allocator.Free(b);
  allocator.Allocate(kMiB, "c");
  EXPECT_EQ(allocator.used_bytes(), kMiB);
  EXPECT_EQ(allocator.peak_bytes(), 5 * kMiB);
}

TEST(CachingAllocator, GivesIdleBlocksBackBeforeItGivesUp) {
  SmallDevice device(4 * kMiB);
  CachingAllocator allocator(&device, "cuda:0");
  allocator.Free(allocator.Allocate(3 * kMiB, "a"));
  EXPECT_NE(allocator.Allocate(4 * kMiB, "b"), nullptr);
  EXPECT_EQ(allocator.cached_bytes(), 0U);
}

TEST(CachingAllocator, SaysWhatIsMissingForWhat) {
  SmallDevice device(4 * kMiB);
  CachingAllocator allocator(&device, "cuda:2");
  void* const kept = allocator.Allocate(3 * kMiB, "the weights");
  for (const size_t bytes : {2 * kMiB, std::numeric_limits<size_t>::max()}) {
    try {
      allocator.Allocate(bytes, "the arena of a plan");
      FAIL() << "got " << bytes;
    } catch (const UnavailableError& e) {
      EXPECT_THAT(e.what(), AllOf(HasSubstr(std::to_string(bytes) + " bytes"),
                                  HasSubstr("the arena of a plan on cuda:2"),
                                  HasSubstr("1 MiB of 4 MiB are free"), HasSubstr("uses 3 MiB")));
    }
  }
  EXPECT_EQ(allocator.used_bytes(), 3 * kMiB);  // nothing is lost by it
  allocator.Free(kept);
  EXPECT_NE(allocator.Allocate(2 * kMiB, "the arena of a plan"), nullptr);
}

TEST(CachingAllocator, FreeOfNullAndOfStrangersDoesNothing) {
  SmallDevice device(kMiB);
  CachingAllocator allocator(&device, "cuda:0");
  allocator.Free(nullptr);
  allocator.Free(&device);
  EXPECT_EQ(allocator.cached_bytes(), 0U);
}

}  // namespace
}  // namespace lockstep::cuda
