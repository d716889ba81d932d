// Sums of two terms over the rows of a run, per channel: the core of every reduction over pictures.
#ifndef LOCKSTEP_KERNELS_CPU_ISA_COLUMN_SUMS_H_
#define LOCKSTEP_KERNELS_CPU_ISA_COLUMN_SUMS_H_

#include "kernels/cpu/isa/channel_rows.h"
#include "kernels/cpu/isa/vec.h"

namespace lockstep::cpu::LOCKSTEP_ISA {

// Vectors that are summed before their sums go to double: bounds the rounding error of T.
inline constexpr int64_t kFlushRows = 64;

// A Term has
//   template <typename V> void operator()(int64_t offset, int64_t j, V* a, V* b) const
// which gives its two values for the sizeof(V) / sizeof(T) elements from memory offset `offset` on,
// whose channels are j, j + 1, ... of the run. Constants per channel are read from arrays whose
// pattern repeats up to kPattern elements where width < kLanes.
inline constexpr int64_t kPattern = kGroupChannels + 64;

// The constants of a run, repeated so that a vector may be read from any multiple of the width.
template <typename T>
LOCKSTEP_FORMULA void RepeatPattern(int64_t width, T* values) {
  if (width >= kLanes<T>) return;
  for (int64_t j = width; j < 4 * kLanes<T>; ++j) values[j] = values[j - width];
}

// sum[j + i] grows by element i of the vectors.
template <int kVectors, typename V, typename T>
LOCKSTEP_FORMULA void AddToSums(const V (&vectors)[kVectors], int64_t j, double* sum) {
  constexpr int64_t kLane = sizeof(V) / sizeof(T);
  alignas(64) T flat[kVectors * kLane];
  for (int v = 0; v < kVectors; ++v) Store(flat + v * kLane, vectors[v]);
  for (int64_t i = 0; i < kVectors * kLane; ++i) sum[j + i] += static_cast<double>(flat[i]);
}

// The same where several rows, of a width that divides the lanes, lie in a vector.
template <int kVectors, typename V, typename T>
LOCKSTEP_FORMULA void FoldToSums(const V (&vectors)[kVectors], int64_t width, double* sum) {
  constexpr int64_t kLane = sizeof(V) / sizeof(T);
  V all = vectors[0];
  for (int v = 1; v < kVectors; ++v) all += vectors[v];
  alignas(64) T flat[kLane];
  Store(flat, all);
  for (int64_t i = 0; i < kLane; ++i) sum[i & (width - 1)] += static_cast<double>(flat[i]);
}

// Columns j .. j + kVectors * lanes of at most kFlushRows rows, or whole rows narrower than a
// vector.
template <int kVectors, typename V, typename T, typename Term>
LOCKSTEP_FORMULA void SumStrip(int64_t offset, int64_t rows, int64_t row_stride, int64_t j,
                               int64_t width, const Term& term, double* sum_a, double* sum_b) {
  constexpr int64_t kLane = sizeof(V) / sizeof(T);
  V a[kVectors] = {};
  V b[kVectors] = {};
  for (int64_t i = 0; i < rows; ++i, offset += row_stride) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      V ta, tb;
      term.template operator()<V>(offset + v * kLane, j + v * kLane, &ta, &tb);
      a[v] += ta;
      b[v] += tb;
    }
  }
  if (width < kLane) {
    FoldToSums<kVectors, V, T>(a, width, sum_a);
    FoldToSums<kVectors, V, T>(b, width, sum_b);
  } else {
    AddToSums<kVectors, V, T>(a, j, sum_a);
    AddToSums<kVectors, V, T>(b, j, sum_b);
  }
}

// body(first row, rows) for blocks of at most kFlushRows: of wide rows fewer, so that all strips of
// a block find it in the first-level cache.
template <typename Body>
LOCKSTEP_FORMULA void ForRowBlocks(int64_t rows, int64_t width, const Body& body) {
  const int64_t fitting = 2048 / width > 16 ? 2048 / width : 16;
  const int64_t block = fitting < kFlushRows ? fitting : kFlushRows;
  for (int64_t r = 0; r < rows; r += block) body(r, rows - r < block ? rows - r : block);
}

// Dense rows narrower than a vector, whose width divides it: plain memory, folded at the end.
template <typename T, typename Term>
LOCKSTEP_FORMULA void SumNarrow(int64_t offset, int64_t elements, int64_t width, const Term& term,
                                double* sum_a, double* sum_b) {
  using V = Vec<T>;
  constexpr int64_t kWide = 4 * kLanes<T>;
  const int64_t wide = elements / kWide;
  ForRowBlocks(wide, width, [&](int64_t r, int64_t count) {
    SumStrip<4, V, T>(offset + r * kWide, count, kWide, 0, width, term, sum_a, sum_b);
  });
  int64_t done = wide * kWide;
  const int64_t single = (elements - done) / kLanes<T>;
  SumStrip<1, V, T>(offset + done, single, kLanes<T>, 0, width, term, sum_a, sum_b);
  done += single * kLanes<T>;
  for (; done < elements; ++done) {
    T a, b;
    term.template operator()<T>(offset + done, done % width, &a, &b);
    sum_a[done % width] += static_cast<double>(a);
    sum_b[done % width] += static_cast<double>(b);
  }
}

// sum_a[j] and sum_b[j], j < width, grow by the terms of `rows` rows.
template <typename T, typename Term>
LOCKSTEP_FORMULA void SumColumns(int64_t offset, int64_t rows, int64_t row_stride, int64_t width,
                                 const Term& term, double* sum_a, double* sum_b) {
  using V = Vec<T>;
  constexpr int64_t kLane = kLanes<T>;
  if (width < kLane && kLane % width == 0 && row_stride == width) {
    SumNarrow<T>(offset, rows * width, width, term, sum_a, sum_b);
    return;
  }
  ForRowBlocks(rows, width, [&](int64_t r, int64_t count) {
    const int64_t at = offset + r * row_stride;
    int64_t j = 0;
    for (; j + 4 * kLane <= width; j += 4 * kLane) {
      SumStrip<4, V, T>(at + j, count, row_stride, j, width, term, sum_a, sum_b);
    }
    for (; j + 2 * kLane <= width; j += 2 * kLane) {
      SumStrip<2, V, T>(at + j, count, row_stride, j, width, term, sum_a, sum_b);
    }
    for (; j + kLane <= width; j += kLane) {
      SumStrip<1, V, T>(at + j, count, row_stride, j, width, term, sum_a, sum_b);
    }
    for (; j < width; ++j) {
      SumStrip<1, T, T>(at + j, count, row_stride, j, width, term, sum_a, sum_b);
    }
  });
}

}  // namespace lockstep::cpu::LOCKSTEP_ISA

#endif  // LOCKSTEP_KERNELS_CPU_ISA_COLUMN_SUMS_H_
