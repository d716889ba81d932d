// One tile of C, kept in registers while k runs; include from files compiled once per instruction
// set only.
#ifndef LOCKSTEP_KERNELS_CPU_GEMM_TILE_ISA_H_
#define LOCKSTEP_KERNELS_CPU_GEMM_TILE_ISA_H_

#include <cstdint>

#include "kernels/cpu/gemm/transpose_isa.h"

namespace lockstep::cpu::LOCKSTEP_ISA {
namespace {

#if defined(LOCKSTEP_ISA_avx512)
constexpr int kVectorBytes = 64;
constexpr int kMaxRows = 12;
#elif defined(LOCKSTEP_ISA_avx2)
constexpr int kVectorBytes = 32;
constexpr int kMaxRows = 6;
#else
constexpr int kVectorBytes = 16;
constexpr int kMaxRows = 6;
#endif

template <typename T>
struct VectorOf;
template <>
struct VectorOf<float> {
  typedef float Type __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));
};
template <>
struct VectorOf<double> {
  typedef double Type __attribute__((vector_size(kVectorBytes), aligned(8), may_alias));
};
template <typename T>
using Vector = typename VectorOf<T>::Type;
template <typename T>
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

// One tile: `rows` x `columns` elements of C from `k` steps.
template <typename T>
struct TileArgs {
  int64_t k;
  const T* a;
  int64_t a_m, a_k;
  const T* b;  // kVectors * kLanes readable elements a step
  int64_t b_k;
  T* c;
  int64_t c_m, c_n;
  int columns;
  bool accumulate;
  const T* bias_m;
  const T* bias_n;
  bool relu;
  bool plain;  // neither C, bias nor ReLU to apply
};

template <typename T>
void StoreElement(const TileArgs<T>& t, int i, int j, T sum) {
  T* c = t.c + i * t.c_m + j * t.c_n;
  if (t.accumulate) sum = *c + sum;
  if (t.bias_m != nullptr) sum += t.bias_m[i];
  if (t.bias_n != nullptr) sum += t.bias_n[j];
  *c = t.relu && sum < T{0} ? T{0} : sum;
}

// Four rows of a tile to where columns lie in memory one after the other.
template <typename T>
void StoreFourRows(const TileArgs<T>& t, int i, const T* tile, int tile_columns) {
  using F = Four<T>;
  for (int j0 = 0; j0 < t.columns; j0 += 4) {
    F sums[4];
    Transpose4(tile + i * tile_columns + j0, tile_columns, sums);
    const int columns = t.columns - j0 < 4 ? t.columns - j0 : 4;
    for (int j = 0; j < columns; ++j) {
      F* c = reinterpret_cast<F*>(t.c + i + (j0 + j) * t.c_n);
      F s = sums[j];
      if (t.accumulate) s = *c + s;
      if (t.bias_m != nullptr) s += *reinterpret_cast<const F*>(t.bias_m + i);
      if (t.bias_n != nullptr) s += t.bias_n[j0 + j];
      if (t.relu) s = s < F{} ? F{} : s;
      *c = s;
    }
  }
}

template <typename T>
void StoreTile(const TileArgs<T>& t, int rows, const T* tile, int tile_columns) {
  int i = 0;
  if (t.c_m == 1) {
    for (; i + 4 <= rows; i += 4) StoreFourRows(t, i, tile, tile_columns);
  }
  for (; i < rows; ++i) {
    for (int j = 0; j < t.columns; ++j) StoreElement(t, i, j, tile[i * tile_columns + j]);
  }
}

template <typename T, int kRows, int kVectors>
__attribute__((always_inline)) inline void StoreVectors(const TileArgs<T>& t,
                                                        const Vector<T> (&sum)[kRows][kVectors]) {
  using V = Vector<T>;
  const V zero{};
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      V* c = reinterpret_cast<V*>(t.c + i * t.c_m + v * kLanes<T>);
      V s = sum[i][v];
      if (t.accumulate) s = *c + s;
      if (t.bias_m != nullptr) s += t.bias_m[i];
      if (t.bias_n != nullptr) s += *reinterpret_cast<const V*>(t.bias_n + v * kLanes<T>);
      if (t.relu) s = s < zero ? zero : s;
      *c = s;
    }
  }
}

template <typename T, int kRows, int kVectors>
void Tile(const TileArgs<T>& t) {
  using V = Vector<T>;
  V sum[kRows][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    __builtin_prefetch(t.c + i * t.c_m, 1);
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) sum[i][v] = V{};
  }
  const T* a = t.a;
  const T* b = t.b;
  for (int64_t step = 0; step < t.k; ++step) {
    V bv[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) bv[v] = *reinterpret_cast<const V*>(b + v * kLanes<T>);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const T scale = a[i * t.a_m];
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sum[i][v] += bv[v] * scale;
    }
    a += t.a_k;
    b += t.b_k;
  }
  // A sum that underflowed to -0 becomes +0, as it does where zeros are skipped.
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) sum[i][v] += V{};
  }
  if (t.c_n == 1 && t.columns == kVectors * kLanes<T>) {
    if (t.plain) {
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) {
          *reinterpret_cast<V*>(t.c + i * t.c_m + v * kLanes<T>) = sum[i][v];
        }
      }
    } else {
      StoreVectors<T, kRows, kVectors>(t, sum);
    }
    return;
  }
  // StoreFourRows reads four columns, where the narrowest tile has two.
  constexpr int kColumns = kVectors * kLanes<T>;
  alignas(64) T tile[kRows * kColumns + (kColumns < 4 ? 4 - kColumns : 0)];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      *reinterpret_cast<V*>(tile + (i * kVectors + v) * kLanes<T>) = sum[i][v];
    }
  }
  StoreTile(t, kRows, tile, kVectors * kLanes<T>);
}

template <typename T>
void RunTile(int rows, int vectors, const TileArgs<T>& t) {
  using Function = void (*)(const TileArgs<T>&);
  static constexpr Function kTiles[][2] = {
    {Tile<T, 1, 1>, Tile<T, 1, 2>},
    {Tile<T, 2, 1>, Tile<T, 2, 2>},
    {Tile<T, 3, 1>, Tile<T, 3, 2>},
    {Tile<T, 4, 1>, Tile<T, 4, 2>},
    {Tile<T, 5, 1>, Tile<T, 5, 2>},
    {Tile<T, 6, 1>, Tile<T, 6, 2>},
#if defined(LOCKSTEP_ISA_avx512)
    {Tile<T, 7, 1>, Tile<T, 7, 2>},
    {Tile<T, 8, 1>, Tile<T, 8, 2>},
    {Tile<T, 9, 1>, Tile<T, 9, 2>},
    {Tile<T, 10, 1>, Tile<T, 10, 2>},
    {Tile<T, 11, 1>, Tile<T, 11, 2>},
    {Tile<T, 12, 1>, Tile<T, 12, 2>},
#endif
  };
  kTiles[rows - 1][vectors - 1](t);
}

}  // namespace
}  // namespace lockstep::cpu::LOCKSTEP_ISA

#endif  // LOCKSTEP_KERNELS_CPU_GEMM_TILE_ISA_H_
