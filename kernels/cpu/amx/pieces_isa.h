// Float32 as sums of bfloat16, packed for AMX tiles; include from files compiled for AMX only.
//
// x = high + middle + low, each of 8 bits, holds all 24 bits of a float32. Of the nine products of
// two such sums the six largest are added up: what is left out is below 2^-22 of the product and
// has either sign, as roundings of float32 have.
// G. Henry, P. T. P. Tang, A. Heinecke, "Leveraging the bfloat16 Artificial Intelligence Datatype
// For Higher-Precision Computations", ARITH 2019.
#ifndef LOCKSTEP_KERNELS_CPU_AMX_PIECES_ISA_H_
#define LOCKSTEP_KERNELS_CPU_AMX_PIECES_ISA_H_

#include <immintrin.h>

#include <cstdint>

namespace lockstep::cpu::amx {
namespace {

// A tile of an operand: 16 lines (rows of A, columns of B) x 32 steps of k in 16 pairs; pair i is
// steps i and i + 16. A's tile is [line][pair], B's is [pair][line].
constexpr int kLines = 16, kPairs = 16, kSteps = 2 * kPairs;
constexpr int kPieces = 3;  // high, middle, low
constexpr int kTileBytes = kLines * kSteps * 2;
constexpr int kBlockBytes = kPieces * kTileBytes;

// Lines of one operand: element (line, step) is first[line * line_stride + step * step_stride], one
// of the strides 1.
struct Lines {
  const float* first;
  int64_t line_stride, step_stride;
};

// Where pieces end to hold a float32: above it rounding would give infinity. As bits, which order
// floats of one sign.
constexpr int32_t kTooLarge = 0x7f7f8000;

__attribute__((always_inline)) inline __m512i Magnitude(__m512 x) {
  return _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff));
}

__attribute__((always_inline)) inline __m512i UpperHalf(__m512i bits) {
  return _mm512_and_si512(bits, _mm512_set1_epi32(-0x10000));
}

// x rounded to bfloat16, the half away from 0.
__attribute__((always_inline)) inline __m512i Round(__m512 x) {
  return UpperHalf(_mm512_add_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(0x8000)));
}

// The upper halves of two vectors, as pairs.
__attribute__((always_inline)) inline __m512i Pairs(__m512i first, __m512i second) {
  return _mm512_or_si512(_mm512_srli_epi32(first, 16), second);
}

// The three pieces of the pairs (first[i], second[i]). The middle ones are cut off: what is left
// has 8 bits, in the upper half but for denormals, which tiles take for 0: their lower half must
// not get into the pair. Where the highest piece is rounded to infinity, the others are not
// numbers.
__attribute__((always_inline)) inline void SplitPairs(__m512 first, __m512 second, __m512i* high,
                                                      __m512i* middle, __m512i* low) {
  const __m512i first_high = Round(first), second_high = Round(second);
  *high = Pairs(first_high, second_high);
  first = _mm512_sub_ps(first, _mm512_castsi512_ps(first_high));
  second = _mm512_sub_ps(second, _mm512_castsi512_ps(second_high));
  const __m512i first_middle = UpperHalf(_mm512_castps_si512(first));
  const __m512i second_middle = UpperHalf(_mm512_castps_si512(second));
  *middle = Pairs(first_middle, second_middle);
  first = _mm512_sub_ps(first, _mm512_castsi512_ps(first_middle));
  second = _mm512_sub_ps(second, _mm512_castsi512_ps(second_middle));
  *low = Pairs(_mm512_castps_si512(first), UpperHalf(_mm512_castps_si512(second)));
}

inline __mmask16 FirstOf(int64_t count) {
  if (count >= 16) return 0xffff;
  return count <= 0 ? __mmask16{0} : static_cast<__mmask16>((1U << count) - 1);
}

// to = from transposed, both 16 x 16 of 32 bits; may be the same.
inline void Transpose(const __m512i* from, __m512i* to) {
  __m512i r[16], t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(from[i], from[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(from[i], from[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    to[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    to[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
  }
}

// Pieces of a row of 16 pairs (first[i], second[i]) to the same row of a block's three tiles.
__attribute__((always_inline)) inline void PackRow(__m512 first, __m512 second, char* row) {
  __m512i high, middle, low;
  SplitPairs(first, second, &high, &middle, &low);
  _mm512_store_si512(row, high);
  _mm512_store_si512(row + kTileBytes, middle);
  _mm512_store_si512(row + 2 * kTileBytes, low);
}

// 16 lines x 32 steps, of which `lines` and `steps` exist, to the three tiles at `to`; the others
// are 0. `by_line`: [line][pair], else [pair][line]. Has what lies `ahead` elements further
// fetched.
inline void PackBlock(const Lines& from, int64_t lines, int64_t steps, bool by_line, int64_t ahead,
                      char* to) {
  const bool steps_adjoin = from.step_stride == 1;
  // Row i holds the steps of line i, or the lines of steps i and i + 16.
  const int64_t stride = steps_adjoin ? from.line_stride : from.step_stride;
  const int64_t first_rows = steps_adjoin ? lines : steps;
  const int64_t second_rows = steps_adjoin ? lines : steps - kPairs;
  const __mmask16 first_mask = FirstOf(steps_adjoin ? steps : lines);
  const __mmask16 second_mask = FirstOf(steps_adjoin ? steps - kPairs : lines);
  const auto load_first = [&](int i) {
    const float* p = from.first + i * stride;
    __builtin_prefetch(p + ahead);
    return _mm512_maskz_loadu_ps(i < first_rows ? first_mask : __mmask16{0}, p);
  };
  const auto load_second = [&](int i) {
    const float* p = from.first + kPairs * from.step_stride + i * stride;
    __builtin_prefetch(p + ahead);
    return _mm512_maskz_loadu_ps(i < second_rows ? second_mask : __mmask16{0}, p);
  };
  if (steps_adjoin == by_line) {
    for (int i = 0; i < kLines; ++i) PackRow(load_first(i), load_second(i), to + i * 64);
    return;
  }
  __m512i first[kLines], second[kLines];
  for (int i = 0; i < kLines; ++i) {
    first[i] = _mm512_castps_si512(load_first(i));
    second[i] = _mm512_castps_si512(load_second(i));
  }
  Transpose(first, first);
  Transpose(second, second);
  for (int i = 0; i < kLines; ++i) {
    PackRow(_mm512_castsi512_ps(first[i]), _mm512_castsi512_ps(second[i]), to + i * 64);
  }
}

}  // namespace
}  // namespace lockstep::cpu::amx

#endif  // LOCKSTEP_KERNELS_CPU_AMX_PIECES_ISA_H_
