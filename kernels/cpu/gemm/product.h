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

// Steps of products that a sink may take.
constexpr int64_t kSinkSteps = 512;

// An epilogue that takes C by groups of neighbouring rows, while they are in the cache: rows [row,
// row + rows) and some columns lie where those of the first rows would, which the next group's take
// over. `finite`: false where the sums may be wrong for want of range; only AMX's (amx/product.h)
// ever are.
struct RowsSink {
  void (*take)(void* self, int64_t row, int64_t rows, int64_t column, int64_t columns, bool finite);
  void* self;
};

// One instruction set's implementation.
struct Table {
  int lanes;  // float32 elements a vector register holds
  void (*product_f32)(const Product<float>& product);
  void (*product_f64)(const Product<double>& product);
  // Of at most kSinkSteps steps; C's columns are neighbours, nothing is added to it, and there are
  // neither bias nor ReLU.
  void (*product_rows_f32)(const Product<float>& product, const RowsSink& sink);
  // Whether the product would leave out the zeros of A, which it does where they are many enough:
  // the bits are the same.
  bool (*skips_zeros_f32)(const Product<float>& product);
  bool (*skips_zeros_f64)(const Product<double>& product);
};

const Table& TableOf(Isa isa);

}  // namespace lockstep::cpu::gemm

#endif  // LOCKSTEP_KERNELS_CPU_GEMM_PRODUCT_H_
