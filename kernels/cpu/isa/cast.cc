#ifdef __F16C__
#include <immintrin.h>
#endif

#include "kernels/cpu/isa/families.h"
#include "kernels/cpu/isa/vec.h"
#include "kernels/math/half.h"

namespace lockstep::cpu::LOCKSTEP_ISA {
namespace {

// What F16C does eight at a time has the bits of the formulas.
#ifdef __F16C__
int64_t WidenEights(int64_t size, const uint16_t* x, float* y) {
  int64_t i = 0;
  for (; i + 8 <= size; i += 8) {
    const __m128i packed = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + i));
    _mm256_storeu_ps(y + i, _mm256_cvtph_ps(packed));
  }
  return i;
}

int64_t NarrowEights(int64_t size, const float* x, uint16_t* y) {
  int64_t i = 0;
  for (; i + 8 <= size; i += 8) {
    const __m128i packed = _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y + i), packed);
  }
  return i;
}
#else
int64_t WidenEights(int64_t, const uint16_t*, float*) { return 0; }
int64_t NarrowEights(int64_t, const float*, uint16_t*) { return 0; }
#endif

void WidenHalf(int64_t size, const uint16_t* x, float* y) {
  for (int64_t i = WidenEights(size, x, y); i < size; ++i) y[i] = math::WidenHalf(x[i]);
}

void NarrowHalf(int64_t size, const float* x, uint16_t* y) {
  for (int64_t i = NarrowEights(size, x, y); i < size; ++i) y[i] = math::NarrowHalf(x[i]);
}

void WidenBfloat16(int64_t size, const uint16_t* x, float* y) {
  LOCKSTEP_INDEPENDENT
  for (int64_t i = 0; i < size; ++i) y[i] = math::WidenBfloat16(x[i]);
}

void NarrowBfloat16(int64_t size, const float* x, uint16_t* y) {
  LOCKSTEP_INDEPENDENT
  for (int64_t i = 0; i < size; ++i) y[i] = math::NarrowBfloat16(x[i]);
}

}  // namespace

void GetCast(CastLoops* loops) { *loops = {WidenHalf, NarrowHalf, WidenBfloat16, NarrowBfloat16}; }

}  // namespace lockstep::cpu::LOCKSTEP_ISA
