// Extents of products and their transposes; include from files compiled once per instruction set
// only.
#ifndef LOCKSTEP_KERNELS_CPU_GEMM_SHAPE_ISA_H_
#define LOCKSTEP_KERNELS_CPU_GEMM_SHAPE_ISA_H_

#include <cstdint>

#include "kernels/cpu/gemm/product.h"

namespace lockstep::cpu::LOCKSTEP_ISA {
namespace {

inline int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t Min(int64_t a, int64_t b) { return a < b ? a : b; }

// The product that gives C^T.
template <typename T>
gemm::Product<T> Transposed(const gemm::Product<T>& p) {
  return {p.n,   p.m, p.k,   p.b,   p.b_n,        p.b_k,    p.a,      p.a_k,
          p.a_m, p.c, p.c_n, p.c_m, p.accumulate, p.bias_n, p.bias_m, p.relu};
}

}  // namespace
}  // namespace lockstep::cpu::LOCKSTEP_ISA

#endif  // LOCKSTEP_KERNELS_CPU_GEMM_SHAPE_ISA_H_
