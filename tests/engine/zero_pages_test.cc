#include "engine/tensor/zero_pages.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/unavailable.h"

namespace lockstep {
namespace {

constexpr size_t kPage = 4096;

int64_t PagesTaken(void* memory, size_t bytes) {
  std::vector<uint8_t> there((bytes + kPage - 1) / kPage);
  EXPECT_EQ(::mincore(memory, bytes, there.data()), 0);
  return std::count_if(there.begin(), there.end(), [](uint8_t page) { return (page & 1) != 0; });
}

TEST(ZeroPages, AreZeroAndCanBeWritten) {
  for (const size_t bytes : {size_t{0}, size_t{1}, 3 * kPage + 5}) {
    const std::shared_ptr<void> memory = AllocateZeroPages(bytes, "a test");
    ASSERT_NE(memory, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(memory.get()) % 64, 0U);
    auto* const values = static_cast<uint8_t*>(memory.get());
    EXPECT_EQ(std::count(values, values + bytes, 0), static_cast<int64_t>(bytes));
    std::fill_n(values, bytes, uint8_t{1});
    EXPECT_EQ(std::count(values, values + bytes, 1), static_cast<int64_t>(bytes));
  }
}

// Where the system makes huge pages of its own accord, one byte takes one of them.
TEST(ZeroPages, TakeMemoryWhereTheyAreWritten) {
  constexpr size_t kBytes = size_t{64} << 20, kHuge = size_t{2} << 20;
  const std::shared_ptr<void> memory = AllocateZeroPages(kBytes, "a test");
  EXPECT_EQ(PagesTaken(memory.get(), kBytes), 0);
  static_cast<uint8_t*>(memory.get())[kBytes / 2] = 1;
  EXPECT_GE(PagesTaken(memory.get(), kBytes), 1);
  EXPECT_LE(PagesTaken(memory.get(), kBytes), static_cast<int64_t>(kHuge / kPage));
}

TEST(ZeroPages, NamePurposeAndBytesOfMemoryThatIsNotThere) {
  constexpr size_t kMost = std::numeric_limits<size_t>::max();
  try {
    AllocateZeroPages(kMost, "the gradients");
    FAIL();
  } catch (const UnavailableError& e) {
    EXPECT_NE(std::string(e.what()).find(std::to_string(kMost)), std::string::npos);
    EXPECT_NE(std::string(e.what()).find("the gradients"), std::string::npos);
  }
}

}  // namespace
}  // namespace lockstep
