#include "data/epoch_order.h"

#include <numeric>
#include <utility>

#include "kernels/math/philox.h"

namespace lockstep {
namespace {

// Uniform in [0, limit), exactly, by Lemire's multiplication with rejection ("Fast random integer
// generation in an interval", 2019). Number `index` of the epoch's stream.
uint64_t Below(uint64_t limit, uint64_t key, int64_t index, uint32_t epoch) {
  for (uint32_t block = 0;; ++block) {
    const PhiloxWords words = Philox(key, SampleCounter(block, index, epoch));
    for (int half = 0; half < 2; ++half) {
      const uint64_t word = uint64_t{words[2 * half + 1]} << 32 | words[2 * half];
      const unsigned __int128 product = static_cast<unsigned __int128>(word) * limit;
      const auto low = static_cast<uint64_t>(product);
      if (low >= limit || low >= -limit % limit) return static_cast<uint64_t>(product >> 64);
    }
  }
}

}  // namespace

// Fisher and Yates's shuffle, from the back (Knuth's algorithm P).
std::vector<int64_t> EpochOrder(uint64_t seed, int64_t epoch, int64_t size, int part) {
  std::vector<int64_t> order(static_cast<size_t>(size));
  std::iota(order.begin(), order.end(), int64_t{0});
  const uint64_t key = RandomKey(seed, static_cast<uint64_t>(part), RandomUse::kShuffle);
  for (int64_t i = size - 1; i > 0; --i) {
    const uint64_t j = Below(static_cast<uint64_t>(i) + 1, key, i, static_cast<uint32_t>(epoch));
    std::swap(order[static_cast<size_t>(i)], order[j]);
  }
  return order;
}

}  // namespace lockstep
