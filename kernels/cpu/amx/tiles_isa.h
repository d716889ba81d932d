// Squares of sums on AMX tiles, and what becomes of them; include from files compiled for AMX only.
#ifndef LOCKSTEP_KERNELS_CPU_AMX_TILES_ISA_H_
#define LOCKSTEP_KERNELS_CPU_AMX_TILES_ISA_H_

#include <immintrin.h>

#include <cstdint>

#include "kernels/cpu/amx/pieces_isa.h"

namespace lockstep::cpu::amx {
namespace {

constexpr int kEdge = 2 * kLines;  // of the square that four tiles sum up

// Intel's manual, volume 1, 18: eight tiles of 16 rows of 64 bytes.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
constexpr TileConfig kTileConfig;

// The same with sums, and pieces of A, of `height` rows: a product's time is that of its rows.
constexpr TileConfig ConfigOfHeight(int height) {
  TileConfig config;
  for (int tile = 0; tile < 6; ++tile) config.rows[tile] = static_cast<uint8_t>(height);
  return config;
}
// Constants, not variables: GCC's _tile_loadconfig does not say that it reads all of one.
constexpr TileConfig kConfigsOfHeight[kLines] = {
    ConfigOfHeight(1),  ConfigOfHeight(2),  ConfigOfHeight(3),  ConfigOfHeight(4),
    ConfigOfHeight(5),  ConfigOfHeight(6),  ConfigOfHeight(7),  ConfigOfHeight(8),
    ConfigOfHeight(9),  ConfigOfHeight(10), ConfigOfHeight(11), ConfigOfHeight(12),
    ConfigOfHeight(13), ConfigOfHeight(14), ConfigOfHeight(15), ConfigOfHeight(16)};

// Tiles 0 to 3 hold the sums, 4 and 5 pieces of A, 6 and 7 pieces of B.
template <int kRowTiles>
__attribute__((always_inline)) inline void LoadA(const char* a, int64_t panel) {
  _tile_loadd(4, a, 64);
  if constexpr (kRowTiles > 1) _tile_loadd(5, a + panel, 64);
}

template <int kColumnTiles>
__attribute__((always_inline)) inline void LoadB(const char* b, int64_t panel) {
  _tile_loadd(6, b, 64);
  if constexpr (kColumnTiles > 1) _tile_loadd(7, b + panel, 64);
}

template <int kRowTiles, int kColumnTiles>
__attribute__((always_inline)) inline void AddProducts() {
  _tile_dpbf16ps(0, 4, 6);
  if constexpr (kColumnTiles > 1) _tile_dpbf16ps(1, 4, 7);
  if constexpr (kRowTiles > 1) _tile_dpbf16ps(2, 5, 6);
  if constexpr (kRowTiles > 1 && kColumnTiles > 1) _tile_dpbf16ps(3, 5, 7);
}

// What a product does beside its tiles, which leave the vector units time: six parts with every
// block. Some<i>() is called behind the i-th sixth of a block's tile products. It must not branch
// on what changes: a wrongly predicted branch among products of tiles takes as long as two blocks
// of them (measured).
struct Nothing {
  template <int kPart>
  void Some() {}
};

// sums[32][32] = the products of packed panels. The pieces meet in the same order whichever operand
// of the caller is A here: `mirrored` says that it is the second.
template <int kRowTiles, int kColumnTiles, bool kMirrored, typename Side>
void Multiply(const char* a, int64_t a_panel, const char* b, int64_t b_panel, int64_t blocks,
              bool first, Side* whole_side, float* sums) {
  constexpr int kHigh = 0, kMiddle = kTileBytes, kLow = 2 * kTileBytes;
  const auto load_a = [&](int piece) { LoadA<kRowTiles>(a + piece, a_panel); };
  const auto load_b = [&](int piece) { LoadB<kColumnTiles>(b + piece, b_panel); };
  Side side = *whole_side;        // in registers
  asm volatile("" ::: "memory");  // what was packed is in memory: GCC's tile loads do not say so
  constexpr int64_t kStride = kEdge * int64_t{sizeof(float)};
  if (first) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  } else {
    _tile_loadd(0, sums, kStride);
    _tile_loadd(1, sums + kLines, kStride);
    _tile_loadd(2, sums + kLines * kEdge, kStride);
    _tile_loadd(3, sums + kLines * kEdge + kLines, kStride);
  }
  // Short loops end where the processor expects it.
  constexpr int64_t kShort = 4;
  for (int64_t left = blocks; left > 0; left -= kShort) {
    const int64_t some = left < kShort ? left : kShort;
    for (int64_t block = 0; block < some; ++block) {
      if constexpr (kMirrored) {
        load_b(kHigh), load_a(kLow);
      } else {
        load_a(kHigh), load_b(kLow);
      }
      AddProducts<kRowTiles, kColumnTiles>();
      side.template Some<0>();
      kMirrored ? load_a(kMiddle) : load_b(kMiddle);
      AddProducts<kRowTiles, kColumnTiles>();
      side.template Some<1>();
      kMirrored ? load_b(kMiddle) : load_a(kMiddle);
      AddProducts<kRowTiles, kColumnTiles>();
      side.template Some<2>();
      kMirrored ? load_a(kHigh) : load_b(kHigh);
      AddProducts<kRowTiles, kColumnTiles>();
      side.template Some<3>();
      kMirrored ? load_b(kLow) : load_a(kLow);
      AddProducts<kRowTiles, kColumnTiles>();
      side.template Some<4>();
      kMirrored ? load_b(kHigh) : load_a(kHigh);
      AddProducts<kRowTiles, kColumnTiles>();
      side.template Some<5>();
      a += kBlockBytes;
      b += kBlockBytes;
    }
  }
  _tile_stored(0, sums, kStride);
  if constexpr (kColumnTiles > 1) _tile_stored(1, sums + kLines, kStride);
  if constexpr (kRowTiles > 1) _tile_stored(2, sums + kLines * kEdge, kStride);
  if constexpr (kRowTiles > 1 && kColumnTiles > 1) {
    _tile_stored(3, sums + kLines * kEdge + kLines, kStride);
  }
  asm volatile("" ::: "memory");
  *whole_side = side;
}

template <typename Side>
using MultiplyFunction = void (*)(const char*, int64_t, const char*, int64_t, int64_t, bool, Side*,
                                  float*);

template <typename Side>
MultiplyFunction<Side> MultiplyOf(int64_t rows, int64_t columns, bool mirrored) {
  static constexpr MultiplyFunction<Side> kFunctions[2][2][2] = {
      {{Multiply<1, 1, false, Side>, Multiply<1, 2, false, Side>},
       {Multiply<2, 1, false, Side>, Multiply<2, 2, false, Side>}},
      {{Multiply<1, 1, true, Side>, Multiply<1, 2, true, Side>},
       {Multiply<2, 1, true, Side>, Multiply<2, 2, true, Side>}},
  };
  return kFunctions[mirrored ? 1 : 0][rows > kLines ? 1 : 0][columns > kLines ? 1 : 0];
}

// The rest of what a side is to do.
template <typename Side>
void Finish(Side* side) {
  while (!side->done()) {
    side->template Some<0>(), side->template Some<1>(), side->template Some<2>();
    side->template Some<3>(), side->template Some<4>(), side->template Some<5>();
  }
}

// multiply(begin, end, side) for all of `count` squares of sums. Where something `follows` it is
// prepared meanwhile: by make_side<kPanels>(), kPanels panels of 16 with every block, beside the
// first two squares or the only one.
template <typename MakeSide, typename MultiplySquares>
void MultiplyBeside(bool follows, int64_t count, MakeSide&& make_side, MultiplySquares&& multiply) {
  Nothing nothing;
  if (!follows) {
    multiply(0, count, &nothing);
  } else if (count > 1) {
    auto side = make_side.template operator()<1>();
    multiply(0, 2, &side);
    multiply(2, count, &nothing);
    Finish(&side);
  } else {
    auto side = make_side.template operator()<2>();
    multiply(0, count, &side);
    Finish(&side);
  }
}

// A square of sums, by rows.
struct alignas(64) Sums {
  float values[kEdge * kEdge];
};

// What becomes of a square of sums: rows x columns at c, whose columns are neighbours.
struct Target {
  float* c;
  int64_t stride;
  bool accumulate;
  const float* bias_of_rows;
  const float* bias_of_columns;
  bool relu;
};

// The largest magnitudes of sums, as bits.
inline __m512i Store(const Target& to, const float* sums, int64_t rows, int64_t columns) {
  __m512i largest = _mm512_setzero_si512();
  const __m512 zero = _mm512_setzero_ps();
  for (int64_t j = 0; j < columns; j += 16) {
    const __mmask16 mask = FirstOf(columns - j);
    const __m512 column_bias =
        to.bias_of_columns != nullptr ? _mm512_maskz_loadu_ps(mask, to.bias_of_columns + j) : zero;
    for (int64_t i = 0; i < rows; ++i) {
      float* const c = to.c + i * to.stride + j;
      // Masked: behind columns that are left out in front, a row ends before its vector does.
      const __m512 raw = _mm512_maskz_loadu_ps(mask, sums + i * kEdge + j);
      __m512 sum = _mm512_add_ps(raw, zero);  // -0 becomes +0
      largest = _mm512_mask_max_epi32(largest, mask, largest, Magnitude(sum));
      if (to.accumulate) sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, c), sum);
      if (to.bias_of_rows != nullptr) sum = _mm512_add_ps(sum, _mm512_set1_ps(to.bias_of_rows[i]));
      if (to.bias_of_columns != nullptr) sum = _mm512_add_ps(sum, column_bias);
      if (to.relu) {
        sum = _mm512_mask_mov_ps(sum, _mm512_cmp_ps_mask(sum, zero, _CMP_LT_OQ), zero);
      }
      _mm512_mask_storeu_ps(c, mask, sum);
    }
  }
  return largest;
}

inline void TransposeSquare(const float* from, float* to) {
  __m512i block[kLines];
  for (int i = 0; i < kEdge; i += kLines) {
    for (int j = 0; j < kEdge; j += kLines) {
      for (int r = 0; r < kLines; ++r) block[r] = _mm512_load_si512(from + (i + r) * kEdge + j);
      Transpose(block, block);
      for (int r = 0; r < kLines; ++r) _mm512_store_si512(to + (j + r) * kEdge + i, block[r]);
    }
  }
}

inline bool AreHeld(__m512i largest) {
  return _mm512_cmpge_epi32_mask(largest, _mm512_set1_epi32(kTooLarge)) == 0;
}

inline bool AreFinite(__m512i largest) {
  return _mm512_cmpge_epi32_mask(largest, _mm512_set1_epi32(0x7f800000)) == 0;
}

}  // namespace
}  // namespace lockstep::cpu::amx

#endif  // LOCKSTEP_KERNELS_CPU_AMX_TILES_ISA_H_
