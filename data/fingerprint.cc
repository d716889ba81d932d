#include "data/fingerprint.h"

#include <algorithm>
#include <span>
#include <vector>

#include "data/run_threads.h"
#include "engine/train/crc32c.h"

namespace lockstep {
namespace {

constexpr size_t kBlock = 256 << 10;
// Fewer blocks are summed in less time than threads take to start.
constexpr size_t kBlocksOfAThread = 16;

// SplitMix64 (Steele, Lea, Flood 2014): the increment, then the finaliser.
uint64_t Mix(uint64_t word) {
  word += 0x9e3779b97f4a7c15;
  word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9;
  word = (word ^ (word >> 27)) * 0x94d049bb133111eb;
  return word ^ (word >> 31);
}

}  // namespace

uint64_t Fingerprint(const Tensor& tensor, uint64_t before) {
  const std::span bytes(static_cast<const std::byte*>(tensor.data()), tensor.bytes());
  std::vector<uint32_t> sums((bytes.size() + kBlock - 1) / kBlock);
  const size_t threads =
      std::clamp<size_t>(sums.size() / kBlocksOfAThread, 1, static_cast<size_t>(AvailableCores()));
  RunThreads(sums.size(), static_cast<int>(threads), [&](size_t i) {
    const size_t begin = i * kBlock;
    sums[i] = Crc32c(bytes.subspan(begin, std::min(kBlock, bytes.size() - begin)));
  });
  uint64_t state = Mix(before ^ static_cast<uint64_t>(tensor.dtype()));
  state = Mix(state ^ tensor.shape().dims().size());
  for (const int64_t extent : tensor.shape().dims()) {
    state = Mix(state ^ static_cast<uint64_t>(extent));
  }
  for (const uint32_t sum : sums) state = Mix(state ^ sum);
  return state;
}

}  // namespace lockstep
