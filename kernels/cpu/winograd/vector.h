// Vectors of floats for the files compiled once per instruction set; include from those only.
// Everything has internal linkage, so that no copy for one instruction set serves another.
#ifndef LOCKSTEP_KERNELS_CPU_WINOGRAD_VECTOR_H_
#define LOCKSTEP_KERNELS_CPU_WINOGRAD_VECTOR_H_

#include <cstdint>

#if !defined(LOCKSTEP_ISA_baseline)
#include <immintrin.h>
#endif

#include "kernels/cpu/winograd/isa.h"

namespace lockstep::cpu::LOCKSTEP_ISA {
namespace {

#ifdef LOCKSTEP_ISA_avx512
constexpr int kLanes = 16, kGroup = 8;
#else
constexpr int kLanes = 8, kGroup = 4;
#endif

using Vec = float __attribute__((vector_size(kLanes * 4)));
using Vec8 = float __attribute__((vector_size(32)));

#define LOCKSTEP_INLINE inline __attribute__((always_inline))

LOCKSTEP_INLINE void Load(const float* from, Vec& v) { __builtin_memcpy(&v, from, sizeof(v)); }
LOCKSTEP_INLINE void Store(const Vec& v, float* to) { __builtin_memcpy(to, &v, sizeof(v)); }

// The first `count` lanes, of which there is at least one; the others are zero, and not written.
#if defined(LOCKSTEP_ISA_avx512)
LOCKSTEP_INLINE __mmask16 FirstLanes(int64_t count) {
  return static_cast<__mmask16>(0xffffU >> (kLanes - count));
}
LOCKSTEP_INLINE void LoadSome(const float* from, int64_t count, Vec& v) {
  v = static_cast<Vec>(_mm512_maskz_loadu_ps(FirstLanes(count), from));
}
LOCKSTEP_INLINE void StoreSome(const Vec& v, int64_t count, float* to) {
  _mm512_mask_storeu_ps(to, FirstLanes(count), static_cast<__m512>(v));
}
#elif defined(LOCKSTEP_ISA_avx2)
LOCKSTEP_INLINE __m256i FirstLanes(int64_t count) {
  const __m256i lanes = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lanes);
}
LOCKSTEP_INLINE void LoadSome(const float* from, int64_t count, Vec& v) {
  v = static_cast<Vec>(_mm256_maskload_ps(from, FirstLanes(count)));
}
LOCKSTEP_INLINE void StoreSome(const Vec& v, int64_t count, float* to) {
  _mm256_maskstore_ps(to, FirstLanes(count), static_cast<__m256>(v));
}
#else
LOCKSTEP_INLINE void LoadSome(const float* from, int64_t count, Vec& v) {
  v = Vec{};
  for (int64_t i = 0; i < count; ++i) v[i] = from[i];
}
LOCKSTEP_INLINE void StoreSome(const Vec& v, int64_t count, float* to) {
  for (int64_t i = 0; i < count; ++i) to[i] = v[i];
}
#endif

// to[i * to_stride + j] = from[j * from_stride + i] for i, j < 8.
LOCKSTEP_INLINE void Transpose8(const float* from, int64_t from_stride, float* to,
                                int64_t to_stride) {
  Vec8 r[8], s[8];
  for (int i = 0; i < 8; ++i) {
    __builtin_memcpy(&r[i], from + i * from_stride, sizeof(r[i]));
  }
  for (int i = 0; i < 8; i += 2) {
    s[i] = __builtin_shufflevector(r[i], r[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    s[i + 1] = __builtin_shufflevector(r[i], r[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  for (int i = 0; i < 8; i += 4) {
    for (int j = 0; j < 2; ++j) {
      const Vec8 a = s[i + j], b = s[i + 2 + j];
      r[i + 2 * j] = __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13);
      r[i + 2 * j + 1] = __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
    }
  }
  for (int i = 0; i < 4; ++i) {
    const Vec8 low = __builtin_shufflevector(r[i], r[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    const Vec8 high = __builtin_shufflevector(r[i], r[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    __builtin_memcpy(to + i * to_stride, &low, sizeof(low));
    __builtin_memcpy(to + (i + 4) * to_stride, &high, sizeof(high));
  }
}

}  // namespace
}  // namespace lockstep::cpu::LOCKSTEP_ISA

#endif  // LOCKSTEP_KERNELS_CPU_WINOGRAD_VECTOR_H_
