// Copies of an operand in the order in which a product reads it; include from files compiled once
// per instruction set only.
#ifndef LOCKSTEP_KERNELS_CPU_GEMM_PACK_ISA_H_
#define LOCKSTEP_KERNELS_CPU_GEMM_PACK_ISA_H_

#include <cstdint>

#include "kernels/cpu/gemm/shape_isa.h"
#include "kernels/cpu/gemm/tile_isa.h"
#include "kernels/cpu/gemm/transpose_isa.h"

namespace lockstep::cpu::LOCKSTEP_ISA {
namespace {

// Of one pass over k: a panel of two vectors stays in the L1 cache.
constexpr int64_t kMaxDepth = 512;
static_assert(gemm::kSinkSteps <= kMaxDepth);  // one pass

// Passes over k, of CeilDiv(k, passes) steps but the last one. An element of C is the sum of its
// passes, each a sum from zero in the order of k: every way of making a product keeps to this, so
// that all have the same bits.
inline int64_t Passes(int64_t k) { return k > kMaxDepth ? CeilDiv(k, kMaxDepth) : 1; }

// packed[step][j] = b[step][j], for one panel whose columns lie one after the other.
template <typename T, int kWidth>
void CopyPanel(const T* b, int64_t b_k, int64_t depth, T* packed) {
  using V = Vector<T>;
  for (int64_t step = 0; step < depth; ++step) {
#pragma GCC unroll 2
    for (int j = 0; j < kWidth; j += kLanes<T>) {
      *reinterpret_cast<V*>(packed + step * kWidth + j) =
          *reinterpret_cast<const V*>(b + step * b_k + j);
    }
  }
}

// The same from columns whose steps lie one after the other, 8 columns at a time; returns how many
// it packed.
template <typename T>
int TransposeEights(const T* b, int64_t b_n, int64_t depth, int columns, int width, T* packed) {
  if constexpr (sizeof(T) == sizeof(float) && kLanes<T> >= 8) {
    for (int j = 0; j + 8 <= columns; j += 8) {
      for (int64_t step = 0; step < depth; step += 4) {
        Eight steps[4];
        Transpose8x4(b + step + j * b_n, b_n, steps);
#pragma GCC unroll 4
        for (int q = 0; q < 4; ++q) {
          *reinterpret_cast<Eight*>(packed + (step + q) * width + j) = steps[q];
        }
      }
    }
    return columns / 8 * 8;
  }
  return 0;
}

// The same for all columns, whose number is a multiple of 4.
template <typename T>
void TransposePanel(const T* b, int64_t b_n, int64_t depth, int columns, int width, T* packed) {
  const int64_t whole = depth / 4 * 4;
  const int eights = TransposeEights(b, b_n, whole, columns, width, packed);
  for (int j = eights; j < columns; j += 4) {
    for (int64_t step = 0; step < whole; step += 4) {
      Four<T> steps[4];
      Transpose4(b + step + j * b_n, b_n, steps);
      for (int q = 0; q < 4; ++q) {
        *reinterpret_cast<Four<T>*>(packed + (step + q) * width + j) = steps[q];
      }
    }
  }
  for (int64_t step = whole; step < depth; ++step) {
    for (int j = 0; j < columns; ++j) packed[step * width + j] = b[step + j * b_n];
  }
}

// Columns [first, width) of a panel of which `columns` exist; the others are zero.
template <typename T>
void PackColumns(const T* b, int64_t b_k, int64_t b_n, int64_t depth, int first, int columns,
                 int width, T* packed) {
  for (int64_t step = 0; step < depth; ++step) {
    T* row = packed + step * width;
    for (int j = first; j < columns; ++j) row[j] = b[step * b_k + j * b_n];
    for (int j = columns; j < width; ++j) row[j] = T{0};
  }
}

template <typename T>
void PackPanel(const T* b, int64_t b_k, int64_t b_n, int64_t depth, int columns, int width,
               T* packed) {
  if (b_n == 1 && columns == 2 * kLanes<T>) {
    CopyPanel<T, 2 * kLanes<T>>(b, b_k, depth, packed);
  } else if (b_n == 1 && columns == kLanes<T>) {
    CopyPanel<T, kLanes<T>>(b, b_k, depth, packed);
  } else {
    const int transposed = b_k == 1 ? columns / 4 * 4 : 0;
    if (transposed > 0) TransposePanel(b, b_n, depth, transposed, width, packed);
    if (transposed < width) PackColumns(b, b_k, b_n, depth, transposed, columns, width, packed);
  }
}

// packed[step * width + j] = b[step][j], zero from `columns` to the end of their last vector.
template <typename T>
void PackStrip(const T* b, int64_t b_k, int64_t b_n, int64_t depth, int columns, int width,
               T* packed) {
  if (b_n != 1) {
    PackPanel(b, b_k, b_n, depth, columns, width, packed);
    return;
  }
  using V = Vector<T>;
  const int whole = columns / kLanes<T> * kLanes<T>;
  for (int64_t step = 0; step < depth; ++step) {
    const T* from = b + step * b_k;
    T* to = packed + step * width;
    for (int j = 0; j < whole; j += kLanes<T>) {
      *reinterpret_cast<V*>(to + j) = *reinterpret_cast<const V*>(from + j);
    }
    if (whole < columns) {
      *reinterpret_cast<V*>(to + whole) = V{};
      for (int j = whole; j < columns; ++j) to[j] = from[j];
    }
  }
}

// packed[i * depth + step] = a[step][i]: rows of steps from rows along i.
template <typename T>
void PackTransposed(const T* a, int64_t a_k, int64_t depth, int rows, T* packed) {
  const int width = static_cast<int>(depth);
  PackPanel(a, 1, a_k, rows, width, width, packed);
}

}  // namespace
}  // namespace lockstep::cpu::LOCKSTEP_ISA

#endif  // LOCKSTEP_KERNELS_CPU_GEMM_PACK_ISA_H_
