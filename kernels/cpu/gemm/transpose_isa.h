// Transposing 4 x 4 or 8 x 4 elements in registers; include from files compiled once per
// instruction set only.
#ifndef LOCKSTEP_KERNELS_CPU_GEMM_TRANSPOSE_ISA_H_
#define LOCKSTEP_KERNELS_CPU_GEMM_TRANSPOSE_ISA_H_

#include <cstdint>

namespace lockstep::cpu::LOCKSTEP_ISA {
namespace {

// Four elements, for transposing; the same on every instruction set.
template <typename T>
struct FourOf;
template <>
struct FourOf<float> {
  typedef float Type __attribute__((vector_size(16), aligned(4), may_alias));
};
template <>
struct FourOf<double> {
  typedef double Type __attribute__((vector_size(32), aligned(8), may_alias));
};
template <typename T>
using Four = typename FourOf<T>::Type;

// to[j] = (from[0][j], from[1][j], from[2][j], from[3][j]) of rows `stride` elements apart.
template <typename T>
inline void Transpose4(const T* from, int64_t stride, Four<T> (&to)[4]) {
  const Four<T> r0 = *reinterpret_cast<const Four<T>*>(from);
  const Four<T> r1 = *reinterpret_cast<const Four<T>*>(from + stride);
  const Four<T> r2 = *reinterpret_cast<const Four<T>*>(from + 2 * stride);
  const Four<T> r3 = *reinterpret_cast<const Four<T>*>(from + 3 * stride);
  const Four<T> low01 = __builtin_shufflevector(r0, r1, 0, 4, 1, 5);
  const Four<T> low23 = __builtin_shufflevector(r2, r3, 0, 4, 1, 5);
  const Four<T> high01 = __builtin_shufflevector(r0, r1, 2, 6, 3, 7);
  const Four<T> high23 = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
  to[0] = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
  to[1] = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
  to[2] = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
  to[3] = __builtin_shufflevector(high01, high23, 2, 3, 6, 7);
}

typedef float Eight __attribute__((vector_size(32), aligned(4), may_alias));

// to[j] = (from[0][j], ..., from[7][j]), j < 4, of rows `stride` elements apart.
inline void Transpose8x4(const float* from, int64_t stride, Eight (&to)[4]) {
  Eight r[4];  // rows i and i + 4
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const auto low = *reinterpret_cast<const Four<float>*>(from + i * stride);
    const auto high = *reinterpret_cast<const Four<float>*>(from + (i + 4) * stride);
    r[i] = __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7);
  }
  const Eight low01 = __builtin_shufflevector(r[0], r[1], 0, 8, 1, 9, 4, 12, 5, 13);
  const Eight low23 = __builtin_shufflevector(r[2], r[3], 0, 8, 1, 9, 4, 12, 5, 13);
  const Eight high01 = __builtin_shufflevector(r[0], r[1], 2, 10, 3, 11, 6, 14, 7, 15);
  const Eight high23 = __builtin_shufflevector(r[2], r[3], 2, 10, 3, 11, 6, 14, 7, 15);
  to[0] = __builtin_shufflevector(low01, low23, 0, 1, 8, 9, 4, 5, 12, 13);
  to[1] = __builtin_shufflevector(low01, low23, 2, 3, 10, 11, 6, 7, 14, 15);
  to[2] = __builtin_shufflevector(high01, high23, 0, 1, 8, 9, 4, 5, 12, 13);
  to[3] = __builtin_shufflevector(high01, high23, 2, 3, 10, 11, 6, 7, 14, 15);
}

}  // namespace
}  // namespace lockstep::cpu::LOCKSTEP_ISA

#endif  // LOCKSTEP_KERNELS_CPU_GEMM_TRANSPOSE_ISA_H_
