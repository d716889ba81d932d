// Listing the elements of a row that are not zero; include from files compiled once per instruction
// set only.
#ifndef LOCKSTEP_KERNELS_CPU_GEMM_LIST_ISA_H_
#define LOCKSTEP_KERNELS_CPU_GEMM_LIST_ISA_H_

#include <cstdint>

#include "kernels/cpu/gemm/nonzeros_isa.h"

#if !defined(LOCKSTEP_ISA_baseline)
#include <immintrin.h>
#endif

namespace lockstep::cpu::LOCKSTEP_ISA {
namespace {

// Lists whole groups of elements as ListNonzeros does, where a faster way exists; advances `to` and
// returns how many elements it took.
template <typename T>
int64_t ListGroups(const T* /*values*/, int64_t /*size*/, int64_t /*distance*/,
                   Nonzero<T>** /*to*/) {
  return 0;
}

#if defined(LOCKSTEP_ISA_avx512)

// Eight at a time: widened to (value, row), the zeros squeezed out.
inline int64_t ListGroups(const float* values, int64_t size, int64_t distance,
                          Nonzero<float>** to) {
  const __m512i lanes = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
  __m512i rows = _mm512_mullo_epi64(lanes, _mm512_set1_epi64(distance << 32));
  const __m512i eight_rows = _mm512_set1_epi64(distance * 8 << 32);
  Nonzero<float>* next = *to;
  int64_t i = 0;
  for (; i + 8 <= size; i += 8) {
    const __m256 value = _mm256_loadu_ps(values + i);
    const __mmask8 mask = _mm256_cmp_ps_mask(value, _mm256_setzero_ps(), _CMP_NEQ_UQ);
    const __m512i pairs = _mm512_or_si512(_mm512_cvtepu32_epi64(_mm256_castps_si256(value)), rows);
    _mm512_storeu_si512(next, _mm512_maskz_compress_epi64(mask, pairs));
    next += __builtin_popcount(mask);
    rows = _mm512_add_epi64(rows, eight_rows);
  }
  *to = next;
  return i;
}

#elif defined(LOCKSTEP_ISA_avx2)

// places[mask]: the halves of those of four 64-bit lanes whose bit is set, one after the other.
struct Places {
  alignas(32) int32_t of[16][8];
};

constexpr Places MakePlaces() {
  Places places{};
  for (int mask = 0; mask < 16; ++mask) {
    int next = 0;
    for (int lane = 0; lane < 4; ++lane) {
      if ((mask >> lane & 1) == 0) continue;
      places.of[mask][next++] = 2 * lane;
      places.of[mask][next++] = 2 * lane + 1;
    }
  }
  return places;
}

// Four at a time: widened to (value, row), the zeros squeezed out.
inline int64_t ListGroups(const float* values, int64_t size, int64_t distance,
                          Nonzero<float>** to) {
  static constexpr Places kPlaces = MakePlaces();
  const __m256i four_rows = _mm256_set1_epi64x(distance * 4 << 32);
  __m256i rows = _mm256_set_epi64x(distance * 3 << 32, distance * 2 << 32, distance << 32, 0);
  Nonzero<float>* next = *to;
  int64_t i = 0;
  for (; i + 4 <= size; i += 4) {
    const __m128 value = _mm_loadu_ps(values + i);
    const int mask = _mm_movemask_ps(_mm_cmpneq_ps(value, _mm_setzero_ps()));
    const __m256i pairs = _mm256_or_si256(_mm256_cvtepu32_epi64(_mm_castps_si128(value)), rows);
    const __m256i places = _mm256_load_si256(reinterpret_cast<const __m256i*>(kPlaces.of[mask]));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(next),
                        _mm256_permutevar8x32_epi32(pairs, places));
    next += __builtin_popcount(static_cast<unsigned>(mask));
    rows = _mm256_add_epi64(rows, four_rows);
  }
  *to = next;
  return i;
}

#endif

// ListNonzeros where the row of element i is i * distance.
template <typename T>
Nonzero<T>* ListNonzerosEvery(const T* values, int64_t size, int64_t distance, Nonzero<T>* to) {
  const int64_t done = ListGroups(values, size, distance, &to);
  const auto row = [=](int64_t i) { return (done + i) * distance; };
  return ListNonzeros(values + done, size - done, row, to);
}

}  // namespace
}  // namespace lockstep::cpu::LOCKSTEP_ISA

#endif  // LOCKSTEP_KERNELS_CPU_GEMM_LIST_ISA_H_
