#include "comm/half.h"

#include <immintrin.h>

namespace lockstep {
namespace {

// No x86-64 has AVX2 without F16C.
bool HasF16c() { return __builtin_cpu_supports("avx2") != 0; }

__attribute__((target("avx,f16c"))) int64_t WidenF16c(const uint16_t* halves, float* floats,
                                                      int64_t count) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m128i packed = _mm_loadu_si128(reinterpret_cast<const __m128i*>(halves + i));
    _mm256_storeu_ps(floats + i, _mm256_cvtph_ps(packed));
  }
  return i;
}

__attribute__((target("avx,f16c"))) int64_t NarrowF16c(const float* floats, uint16_t* halves,
                                                       int64_t count) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m128i packed = _mm256_cvtps_ph(_mm256_loadu_ps(floats + i), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(halves + i), packed);
  }
  return i;
}

}  // namespace

void WidenHalves(const uint16_t* halves, float* floats, int64_t count) {
  for (int64_t i = HasF16c() ? WidenF16c(halves, floats, count) : 0; i < count; ++i) {
    floats[i] = WidenHalf(halves[i]);
  }
}

void NarrowHalves(const float* floats, uint16_t* halves, int64_t count) {
  for (int64_t i = HasF16c() ? NarrowF16c(floats, halves, count) : 0; i < count; ++i) {
    halves[i] = NarrowHalf(floats[i]);
  }
}

}  // namespace lockstep
