#include "engine/plan/arena.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "tests/kernels/backend_wrapper.h"

namespace lockstep {
namespace {

// Remembers what was cleared.
class ClearedBackend : public BackendWrapper {
 public:
  ClearedBackend() : BackendWrapper(MakeCpuBackend(1)) {}
  void Clear(void* device, size_t bytes) override {
    cleared.emplace_back(device, bytes);
    BackendWrapper::Clear(device, bytes);
  }

  std::vector<std::pair<void*, size_t>> cleared;
};

TEST(Arena, GrowsToTheLargestRequest) {
  ClearedBackend backend;
  Arena arena(backend);
  arena.Reserve(1000);
  EXPECT_EQ(arena.generation(), 1);
  arena.Reserve(500);
  EXPECT_EQ(arena.size(), 1000U);
  EXPECT_EQ(arena.generation(), 1);
  arena.Reserve(2000);
  EXPECT_EQ(arena.size(), 2000U);
  EXPECT_EQ(arena.generation(), 2);
}

TEST(Arena, TouchesItsMemoryOnceWhenItGrows) {
  ClearedBackend backend;
  Arena arena(backend);
  arena.Reserve(1000);
  ASSERT_EQ(backend.cleared.size(), 1U);
  EXPECT_EQ(backend.cleared.back(), std::make_pair(arena.base(), size_t{1000}));
  arena.Reserve(1000);
  EXPECT_EQ(backend.cleared.size(), 1U);
  arena.Reserve(2000);
  ASSERT_EQ(backend.cleared.size(), 2U);
  EXPECT_EQ(backend.cleared.back(), std::make_pair(arena.base(), size_t{2000}));
}

TEST(Arena, GivesEachClaimANumberOfItsOwn) {
  ClearedBackend backend;
  Arena arena(backend);
  arena.Reserve(64);
  const uint64_t first = arena.Claim();
  EXPECT_EQ(arena.claim(), first);
  arena.Reserve(128);  // what was in it is lost
  EXPECT_NE(arena.claim(), first);
}

}  // namespace
}  // namespace lockstep
