// IndexedProduct, compiled once per instruction set: tiles of rows x 2 vectors in registers.
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
constexpr int kMaxRows = 6;  // their addresses and 12 sums fit the registers of every set
typedef float Vector __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));

// The tile of rows [i0, ...) and vectors [v0, ...) where lanes are missing or not adjacent in c.
void StoreLanes(const IndexedProduct& p, int64_t i0, int rows, int64_t v0, int vectors,
                const float* sums) {
  for (int v = 0; v < vectors; ++v) {
    for (int64_t j = 0; j < p.lanes[v0 + v]; ++j) {
      for (int i = 0; i < rows; ++i) {
        float* c = p.c + p.c_row[i0 + i] + p.c_vector[v0 + v] + j * p.c_lane;
        float sum = sums[(i * vectors + v) * kLanes + j];
        if (p.accumulate) sum = *c + sum;
        if (p.bias != nullptr) sum += p.bias[i0 + i];
        *c = p.relu && sum < 0 ? 0 : sum;
      }
    }
  }
}

template <int kRows, int kVectors>
__attribute__((always_inline)) inline void StoreVectors(const IndexedProduct& p, int64_t i0,
                                                        int64_t v0,
                                                        const Vector (&sum)[kRows][kVectors]) {
#pragma GCC unroll 6
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      Vector* c = reinterpret_cast<Vector*>(p.c + p.c_row[i0 + i] + p.c_vector[v0 + v]);
      Vector s = sum[i][v];
      if (p.accumulate) s = *c + s;
      if (p.bias != nullptr) s += p.bias[i0 + i];
      if (p.relu) s = s < Vector{} ? Vector{} : s;
      *c = s;
    }
  }
}

template <int kRows, int kVectors>
void Tile(const IndexedProduct& p, int64_t i0, int64_t v0) {
  Vector sum[kRows][kVectors];
  const float* a[kRows];
  const float* b[kVectors];
#pragma GCC unroll 6
  for (int i = 0; i < kRows; ++i) {
    a[i] = p.a + p.a_row[i0 + i];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) sum[i][v] = Vector{};
  }
  bool whole = p.c_lane == 1;
#pragma GCC unroll 2
  for (int v = 0; v < kVectors; ++v) {
    b[v] = p.b + p.b_vector[v0 + v];
    whole = whole && p.lanes[v0 + v] == kLanes;
  }
  for (int64_t step = 0; step < p.steps; ++step) {
    const int64_t a_step = p.a_step[step], b_step = p.b_step[step];
    Vector bv[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) bv[v] = *reinterpret_cast<const Vector*>(b[v] + b_step);
#pragma GCC unroll 6
    for (int i = 0; i < kRows; ++i) {
      const float scale = a[i][a_step];
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sum[i][v] += bv[v] * scale;
    }
  }
  if (whole) {
    StoreVectors<kRows, kVectors>(p, i0, v0, sum);
    return;
  }
  alignas(64) float sums[kRows * kVectors * kLanes];
#pragma GCC unroll 6
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      *reinterpret_cast<Vector*>(sums + (i * kVectors + v) * kLanes) = sum[i][v];
    }
  }
  StoreLanes(p, i0, kRows, v0, kVectors, sums);
}

void Product(const IndexedProduct& p) {
  using Function = void (*)(const IndexedProduct&, int64_t, int64_t);
  static constexpr Function kTiles[kMaxRows][2] = {
      {Tile<1, 1>, Tile<1, 2>}, {Tile<2, 1>, Tile<2, 2>}, {Tile<3, 1>, Tile<3, 2>},
      {Tile<4, 1>, Tile<4, 2>}, {Tile<5, 1>, Tile<5, 2>}, {Tile<6, 1>, Tile<6, 2>}};
  const int64_t tiles = (p.rows + kMaxRows - 1) / kMaxRows;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t i0 = p.rows * tile / tiles, rows = p.rows * (tile + 1) / tiles - i0;
    for (int64_t v = 0; v < p.vectors; v += 2) {
      kTiles[rows - 1][p.vectors - v > 1](p, i0, v);
    }
  }
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
