// What one instruction set's matrix product takes. Included by files compiled for several
// instruction sets, so nothing here has a function body.
#ifndef LOCKSTEP_KERNELS_CPU_GEMM_PRODUCT_H_
#define LOCKSTEP_KERNELS_CPU_GEMM_PRODUCT_H_

#include <cstdint>

#include "kernels/cpu/isa_choice.h"

namespace lockstep::cpu::gemm {

// C (m, n) = f(A (m, k) * B (k, n) [+ C] + bias), each matrix with two strides counted in
// elements, so that a transposed matrix is one with its strides exchanged. One of c_m, c_n is 1.
template <typename T>
struct Product {
  int64_t m, n, k;
  const T* a;
  int64_t a_m, a_k;
  const T* b;
  int64_t b_k, b_n;
  T* c;
  int64_t c_m, c_n;
  bool accumulate;  // + C
  const T* bias_m;  // (m,), added along the rows, or null
  const T* bias_n;  // (n,), added along the columns, or null
  bool relu;
};

// One instruction set's implementation.
struct Table {
  int lanes;  // float32 elements a vector register holds
  void (*product_f32)(const Product<float>& product);
  void (*product_f64)(const Product<double>& product);
  // Whether the product would leave out the zeros of A, which it does where they are many enough:
  // the bits are the same.
  bool (*skips_zeros_f32)(const Product<float>& product);
  bool (*skips_zeros_f64)(const Product<double>& product);
};

const Table& TableOf(Isa isa);

}  // namespace lockstep::cpu::gemm

#endif  // LOCKSTEP_KERNELS_CPU_GEMM_PRODUCT_H_
