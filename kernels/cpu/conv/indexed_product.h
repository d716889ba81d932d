// A matrix product whose operands are found through tables of offsets, so that a convolution reads
// its pictures where they lie. Included by files compiled for several instruction sets, so nothing
// here has a function body.
#ifndef LOCKSTEP_KERNELS_CPU_CONV_INDEXED_PRODUCT_H_
#define LOCKSTEP_KERNELS_CPU_CONV_INDEXED_PRODUCT_H_

#include <cstdint>

#include "kernels/cpu/isa_choice.h"

namespace lockstep::cpu {

// For row i, vector v and lane j < lanes[v]:
//   c[c_row[i] + c_vector[v] + j * c_lane] =
//       f(sum over s of a[a_row[i] + a_step[s]] * b[b_vector[v] + b_step[s] + j] [+ c] + bias[i])
// All lanes of b's vectors must be readable; only lanes[v] of c are touched.
struct IndexedProduct {
  int64_t rows, vectors, steps;
  const float* a;
  const int64_t* a_row;
  const int64_t* a_step;
  const float* b;
  const int64_t* b_vector;
  const int64_t* b_step;
  float* c;
  const int64_t* c_row;
  const int64_t* c_vector;
  int64_t c_lane;
  const int64_t* lanes;
  bool accumulate;    // + c
  const float* bias;  // (rows,) or null
  bool relu;
};

// One instruction set's implementation.
struct IndexedTable {
  int lanes;  // of a vector
  void (*product)(const IndexedProduct& product);
  // to[j * to_stride + i] = from[i * from_stride + j] for i < rows, j < columns.
  void (*transpose)(const float* from, int64_t from_stride, int64_t rows, int64_t columns,
                    float* to, int64_t to_stride);
};

const IndexedTable& IndexedTableOf(Isa isa);

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_CONV_INDEXED_PRODUCT_H_
