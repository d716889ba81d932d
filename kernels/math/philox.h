// Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw, "Parallel random
// numbers: as easy as 1, 2, 3" (SC 2011). A pure function of key and counter.
#ifndef LOCKSTEP_KERNELS_MATH_PHILOX_H_
#define LOCKSTEP_KERNELS_MATH_PHILOX_H_

#include <array>
#include <cstdint>

namespace lockstep {

using PhiloxWords = std::array<uint32_t, 4>;

constexpr PhiloxWords Philox(uint64_t key, PhiloxWords counter) {
  uint32_t k0 = static_cast<uint32_t>(key);
  uint32_t k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * counter[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(p1 >> 32) ^ counter[1] ^ k0, static_cast<uint32_t>(p1),
               static_cast<uint32_t>(p0 >> 32) ^ counter[3] ^ k1, static_cast<uint32_t>(p0)};
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return counter;
}

// SplitMix64's finaliser (Steele, Lea, Flood 2014): a bijection that mixes every bit.
constexpr uint64_t Mix64(uint64_t x) {
  x += 0x9E3779B97F4A7C15;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

// What a stream of numbers is for: keys of different uses never meet by accident.
enum class RandomUse : uint32_t { kInitialize = 1, kDropout = 2, kShuffle = 3, kAugment = 4 };

// The Philox key of (seed, graph node, use). `node` is a hash of the node's name, so that adding a
// layer does not change the numbers of the others.
constexpr uint64_t RandomKey(uint64_t seed, uint64_t node, RandomUse use) {
  return Mix64(Mix64(Mix64(seed) ^ node) ^ static_cast<uint64_t>(use));
}

// The counter of block `block` (four numbers) of sample `sample` in `epoch`.
constexpr PhiloxWords SampleCounter(uint32_t block, int64_t sample, uint32_t epoch) {
  return {block, static_cast<uint32_t>(sample), static_cast<uint32_t>(sample >> 32), epoch};
}

// Uniform in [0, 1) with 24 bits: exact in float.
constexpr float UniformFloat(uint32_t word) {
  return static_cast<float>(word >> 8) * (1.0F / 16777216.0F);
}

}  // namespace lockstep

#endif  // LOCKSTEP_KERNELS_MATH_PHILOX_H_
