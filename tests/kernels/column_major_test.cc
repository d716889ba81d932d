#include "kernels/cuda/column_major.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/kernels/kernel_test.h"

namespace lockstep::test {
namespace {

double At(const cuda::ColumnMajor& m, const std::vector<double>& a, int64_t i, int64_t j) {
  const int64_t row = m.transpose ? j : i, column = m.transpose ? i : j;
  EXPECT_LT(row, m.rows);
  EXPECT_LT(column, m.columns);
  return a[static_cast<size_t>(column * m.ld + row)];
}

TEST(ColumnMajor, SwappedOperandsMakeTheRowMajorProduct) {
  const auto cpu = BestBackend();
  for (const bool trans_a : {false, true}) {
    for (const bool trans_b : {false, true}) {
      GemmArgs g;
      g.trans_a = trans_a, g.trans_b = trans_b;
      g.m = 3, g.n = 5, g.k = 4;
      g.lda = (trans_a ? g.m : g.k) + 2, g.ldb = (trans_b ? g.k : g.n) + 1, g.ldc = g.n + 3;
      const auto a = Numbers<double>(g.lda * 4, 1), b = Numbers<double>(g.ldb * 5, 2);
      std::vector<double> wanted(static_cast<size_t>(g.ldc * g.m)), c(wanted);
      g.a = a.data(), g.b = b.data(), g.c = wanted.data();
      cpu->gemm().Gemm(DType::kFloat64, g);
      const cuda::ColumnMajorProduct p = cuda::ColumnMajorOf(g);
      for (int64_t i = 0; i < p.result.rows; ++i) {
        for (int64_t j = 0; j < p.result.columns; ++j) {
          for (int64_t k = 0; k < g.k; ++k) {
            c[static_cast<size_t>(j * p.result.ld + i)] +=
                At(p.left, b, i, k) * At(p.right, a, k, j);
          }
        }
      }
      ExpectClose(c, wanted, 1e-12, "product");
    }
  }
}

}  // namespace
}  // namespace lockstep::test
