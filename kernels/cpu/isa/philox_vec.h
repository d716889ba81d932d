// Philox4x32-10 (kernels/math/philox.h) on a vector of counters at once.
#ifndef LOCKSTEP_KERNELS_CPU_ISA_PHILOX_VEC_H_
#define LOCKSTEP_KERNELS_CPU_ISA_PHILOX_VEC_H_

#include "kernels/cpu/isa/channel_rows.h"
#include "kernels/cpu/isa/vec.h"

namespace lockstep::cpu::LOCKSTEP_ISA {

inline constexpr int64_t kPhiloxLanes = kLanes<uint64_t>;

typedef uint32_t HalfWords __attribute__((vector_size(kVecBytes / 2)));

// Consecutive blocks, one a lane, in the order that leaves Interleave's results in sequence.
LOCKSTEP_FORMULA U64 LoadBlocks(const uint32_t* blocks) {
  const HalfWords v = Load<HalfWords>(blocks);
#if defined(LOCKSTEP_ISA_avx512)
  return __builtin_convertvector(__builtin_shufflevector(v, v, 0, 4, 1, 5, 2, 6, 3, 7), U64);
#elif defined(LOCKSTEP_ISA_avx2)
  return __builtin_convertvector(__builtin_shufflevector(v, v, 0, 2, 1, 3), U64);
#else
  return __builtin_convertvector(v, U64);
#endif
}

// The even (first = 0) or odd (first = 1) lanes of a and b, alternating.
template <int kFirst>
LOCKSTEP_FORMULA U64 Interleave(U64 a, U64 b) {
#if defined(LOCKSTEP_ISA_avx512)
  return __builtin_shufflevector(a, b, kFirst, kFirst + 8, kFirst + 2, kFirst + 10, kFirst + 4,
                                 kFirst + 12, kFirst + 6, kFirst + 14);
#elif defined(LOCKSTEP_ISA_avx2)
  return __builtin_shufflevector(a, b, kFirst, kFirst + 4, kFirst + 2, kFirst + 6);
#else
  return __builtin_shufflevector(a, b, kFirst, kFirst + 2);
#endif
}

// words[4 * i + j] = Philox(key, {blocks[i], sample, sample >> 32, epoch})[j] for i < kPhiloxLanes.
// A counter word lives in the low half of a 64-bit lane; what is above it is never looked at.
LOCKSTEP_FORMULA void PhiloxVector(uint64_t key, U64 blocks, uint64_t sample, uint32_t epoch,
                                   uint32_t* words) {
  U64 c0 = blocks;
  U64 c1 = Broadcast<U64>(sample & 0xFFFFFFFF);
  U64 c2 = Broadcast<U64>(sample >> 32);
  U64 c3 = Broadcast<U64>(uint64_t{epoch});
  const U64 m0 = Broadcast<U64>(uint64_t{0xD2511F53});
  const U64 m1 = Broadcast<U64>(uint64_t{0xCD9E8D57});
  uint32_t k0 = static_cast<uint32_t>(key);
  uint32_t k1 = static_cast<uint32_t>(key >> 32);
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round) {
    const U64 p0 = MulLow32(c0, m0);
    const U64 p1 = MulLow32(c2, m1);
    c0 = (p1 >> 32) ^ c1 ^ Broadcast<U64>(uint64_t{k0});
    c1 = p1;
    c2 = (p0 >> 32) ^ c3 ^ Broadcast<U64>(uint64_t{k1});
    c3 = p0;
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  const U64 low = Broadcast<U64>(uint64_t{0xFFFFFFFF});
  const U64 w01 = (c0 & low) | (c1 << 32);
  const U64 w23 = (c2 & low) | (c3 << 32);
  Store(words, Interleave<0>(w01, w23));
  Store(words + 2 * kPhiloxLanes, Interleave<1>(w01, w23));
}

}  // namespace lockstep::cpu::LOCKSTEP_ISA

#endif  // LOCKSTEP_KERNELS_CPU_ISA_PHILOX_VEC_H_
