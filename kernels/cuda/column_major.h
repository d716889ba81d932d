// A row-major product as a library of column-major matrices takes it.
#ifndef LOCKSTEP_KERNELS_CUDA_COLUMN_MAJOR_H_
#define LOCKSTEP_KERNELS_CUDA_COLUMN_MAJOR_H_

#include <cstdint>

#include "kernels/gemm.h"

namespace lockstep::cuda {

// Column-major as stored: element (i, j) lies at j * ld + i.
struct ColumnMajor {
  int64_t rows, columns, ld;
  bool transpose;
};

// C' (n, m) = op(B)' op(A)': a row-major (r, c) matrix is a column-major (c, r) one.
struct ColumnMajorProduct {
  ColumnMajor left, right, result;  // of B, A and C
};

inline ColumnMajorProduct ColumnMajorOf(const GemmArgs& g) {
  ColumnMajorProduct p;
  p.left = g.trans_b ? ColumnMajor{g.k, g.n, g.ldb, true} : ColumnMajor{g.n, g.k, g.ldb, false};
  p.right = g.trans_a ? ColumnMajor{g.m, g.k, g.lda, true} : ColumnMajor{g.k, g.m, g.lda, false};
  p.result = {g.n, g.m, g.ldc, false};
  return p;
}

}  // namespace lockstep::cuda

#endif  // LOCKSTEP_KERNELS_CUDA_COLUMN_MAJOR_H_
