// IndexedProduct, compiled once per instruction set: tiles of 6 rows x 2 vectors, or 8 x 1:
// addresses and sums fit the registers of every set.
#include "kernels/cpu/conv/indexed_product.h"
#include "kernels/cpu/gemm/transpose_isa.h"

namespace lockstep::cpu::LOCKSTEP_ISA {
namespace {

#if defined(LOCKSTEP_ISA_avx512)
constexpr int kVectorBytes = 64;
#elif defined(LOCKSTEP_ISA_avx2)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(float));
typedef float Vector __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));

// A vector of c of which only some lanes exist.
Vector LoadLanes(const float* c, int64_t c_lane, int64_t lanes) {
  Vector result{};
  for (int64_t j = 0; j < lanes; ++j) result[j] = c[j * c_lane];
  return result;
}
void StoreLanes(const Vector& sum, float* c, int64_t c_lane, int64_t lanes) {
  // NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): it does not follow vectors.
  for (int64_t j = 0; j < lanes; ++j) c[j * c_lane] = sum[j];
}

// Rows [i0, i0 + kRows) of vectors [v0, v0 + kVectors), all their lanes adjacent in c if kWhole.
template <int kRows, int kVectors, bool kWhole>
__attribute__((always_inline)) inline void Tile(const IndexedProduct& p, int64_t i0, int64_t v0,
                                                const float* const (&a)[kRows]) {
  Vector sum[kRows][kVectors];
  const float* b[kVectors];
  float* c[kVectors];
#pragma GCC unroll 2
  for (int v = 0; v < kVectors; ++v) {
    b[v] = p.b + p.b_vector[v0 + v];
    c[v] = p.c + p.c_vector[v0 + v];
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) sum[i][v] = Vector{};
  }
  for (int64_t step = 0; step < p.steps; ++step) {
    const int64_t a_step = p.a_step[step], b_step = p.b_step[step];
    Vector bv[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) bv[v] = *reinterpret_cast<const Vector*>(b[v] + b_step);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const float scale = a[i][a_step];
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sum[i][v] += bv[v] * scale;
    }
  }
  if (p.accumulate) {
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        const float* at = c[v] + p.c_row[i0 + i];
        sum[i][v] += kWhole ? *reinterpret_cast<const Vector*>(at)
                            : LoadLanes(at, p.c_lane, p.lanes[v0 + v]);
      }
    }
  }
  if (p.bias != nullptr) {
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sum[i][v] += p.bias[i0 + i];
    }
  }
  if (p.relu) {
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sum[i][v] = sum[i][v] < Vector{} ? Vector{} : sum[i][v];
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      float* at = c[v] + p.c_row[i0 + i];
      if (kWhole) {
        *reinterpret_cast<Vector*>(at) = sum[i][v];
      } else {
        StoreLanes(sum[i][v], at, p.c_lane, p.lanes[v0 + v]);
      }
    }
  }
}

// Rows [i0, i0 + kRows) of vectors [begin, end), kVectors at a time.
template <int kVectors, int kRows>
void TileRow(const IndexedProduct& p, int64_t i0, int64_t begin, int64_t end) {
  const float* a[kRows];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) a[i] = p.a + p.a_row[i0 + i];
  for (int64_t v = begin; v < end; v += kVectors) {
    if (p.c_lane == 1 && p.lanes[v] == kLanes && p.lanes[v + kVectors - 1] == kLanes) {
      Tile<kRows, kVectors, true>(p, i0, v, a);
    } else {
      Tile<kRows, kVectors, false>(p, i0, v, a);
    }
  }
}

using TileRowFunction = void (*)(const IndexedProduct&, int64_t, int64_t, int64_t);
constexpr TileRowFunction kPairs[] = {TileRow<2, 1>, TileRow<2, 2>, TileRow<2, 3>,
                                      TileRow<2, 4>, TileRow<2, 5>, TileRow<2, 6>};
constexpr TileRowFunction kSingles[] = {TileRow<1, 1>, TileRow<1, 2>, TileRow<1, 3>, TileRow<1, 4>,
                                        TileRow<1, 5>, TileRow<1, 6>, TileRow<1, 7>, TileRow<1, 8>};

template <int kMaxRows>
void AllRows(const IndexedProduct& p, const TileRowFunction (&rows)[kMaxRows], int64_t begin,
             int64_t end) {
  const int64_t tiles = begin < end ? (p.rows + kMaxRows - 1) / kMaxRows : 0;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t i0 = p.rows * tile / tiles;
    rows[p.rows * (tile + 1) / tiles - i0 - 1](p, i0, begin, end);
  }
}

void Product(const IndexedProduct& p) {
  const int64_t paired = p.vectors / 2 * 2;
  AllRows(p, kPairs, 0, paired);
  AllRows(p, kSingles, paired, p.vectors);
}

void Transpose(const float* from, int64_t from_stride, int64_t rows, int64_t columns, float* to,
               int64_t to_stride) {
  int64_t i = 0;
  for (; i + 4 <= rows; i += 4) {
    int64_t j = 0;
    for (; j + 4 <= columns; j += 4) {
      Four<float> block[4];
      Transpose4(from + i * from_stride + j, from_stride, block);
      for (int q = 0; q < 4; ++q) {
        *reinterpret_cast<Four<float>*>(to + (j + q) * to_stride + i) = block[q];
      }
    }
    for (; j < columns; ++j) {
      for (int q = 0; q < 4; ++q) to[j * to_stride + i + q] = from[(i + q) * from_stride + j];
    }
  }
  for (; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) to[j * to_stride + i] = from[i * from_stride + j];
  }
}

}  // namespace

extern const IndexedTable kIndexedTable;
const IndexedTable kIndexedTable = {kLanes, Product, Transpose};

}  // namespace lockstep::cpu::LOCKSTEP_ISA
