// Eight halves at a time where the instruction set has F16C, whose results have the bits of the
// formulas; none where it has not. Only for kernels/cpu/isa/*.cc.
#ifndef LOCKSTEP_KERNELS_CPU_ISA_HALF_EIGHTS_H_
#define LOCKSTEP_KERNELS_CPU_ISA_HALF_EIGHTS_H_

#include <immintrin.h>

#include <cstdint>

namespace lockstep::cpu::LOCKSTEP_ISA {

// How many of `size` were done, a multiple of eight.
#ifdef __F16C__
inline int64_t WidenEights(int64_t size, const uint16_t* x, float* y) {
  int64_t i = 0;
  for (; i + 8 <= size; i += 8) {
    const __m128i packed = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + i));
    _mm256_storeu_ps(y + i, _mm256_cvtph_ps(packed));
  }
  return i;
}

inline int64_t NarrowEights(int64_t size, const float* x, uint16_t* y) {
  int64_t i = 0;
  for (; i + 8 <= size; i += 8) {
    const __m128i packed = _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y + i), packed);
  }
  return i;
}
#else
inline int64_t WidenEights(int64_t, const uint16_t*, float*) { return 0; }
inline int64_t NarrowEights(int64_t, const float*, uint16_t*) { return 0; }
#endif

}  // namespace lockstep::cpu::LOCKSTEP_ISA

#endif  // LOCKSTEP_KERNELS_CPU_ISA_HALF_EIGHTS_H_
