// Products on AMX tiles against sums in double and against those of AVX-512: skipped where the
// machine has no tiles.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "kernels/cpu/amx/product.h"
#include "kernels/cpu/amx/tile_product.h"
#include "kernels/cpu/amx/usable.h"
#include "kernels/cpu/gemm/product.h"
#include "kernels/cpu/gemm/sub_product.h"

namespace lockstep::cpu {
namespace {

using gemm::Product;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// How a matrix lies in memory.
enum class Order { kRows, kColumns };

struct Matrix {
  int64_t rows, columns, row_stride, column_stride;
  std::vector<float> values;

  Matrix(int64_t row_count, int64_t column_count, Order order)
      : rows(row_count),
        columns(column_count),
        row_stride(order == Order::kRows ? column_count + 3 : 1),
        column_stride(order == Order::kRows ? 1 : row_count + 5),
        values(static_cast<size_t>((rows + 5) * (columns + 5))) {}

  float& At(int64_t i, int64_t j) {
    return values[static_cast<size_t>(i * row_stride + j * column_stride)];
  }
};

class Amx : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!IsAmxUsable()) GTEST_SKIP() << "this machine has no AMX tiles, or does not permit them";
  }

  // Values in [-1, 1] times `scale`.
  void Fill(Matrix& matrix, float scale = 1) {
    std::uniform_real_distribution<float> uniform(-scale, scale);
    for (float& value : matrix.values) value = uniform(random_);
  }

  std::mt19937 random_{17};
};

Product<float> ProductOf(Matrix& a, Matrix& b, Matrix& c) {
  Product<float> p{};
  p.m = a.rows;
  p.n = b.columns;
  p.k = a.columns;
  p.a = a.values.data();
  p.a_m = a.row_stride;
  p.a_k = a.column_stride;
  p.b = b.values.data();
  p.b_k = b.row_stride;
  p.b_n = b.column_stride;
  p.c = c.values.data();
  p.c_m = c.row_stride;
  p.c_n = c.column_stride;
  return p;
}

// Root mean square of the error of C = A B, each element's measured against the sum of its
// products' magnitudes.
double ErrorOf(Matrix& a, Matrix& b, Matrix& c) {
  double squares = 0;
  for (int64_t i = 0; i < c.rows; ++i) {
    for (int64_t j = 0; j < c.columns; ++j) {
      double sum = 0, size = 0;
      for (int64_t s = 0; s < a.columns; ++s) {
        const double product = static_cast<double>(a.At(i, s)) * b.At(s, j);
        sum += product;
        size += std::abs(product);
      }
      const double error = (c.At(i, j) - sum) / size;
      squares += error * error;
    }
  }
  return std::sqrt(squares / static_cast<double>(c.rows * c.columns));
}

bool AreSame(float found, float wanted) {
  return std::isnan(wanted) ? std::isnan(found) : found == wanted;
}

void RunOnVectors(const Product<float>& p) { gemm::TableOf(Isa::kAvx512).product_f32(p); }

TEST_F(Amx, ErrorIsBelowThatOfFloatSums) {
  for (const auto [m, n, k] :
       {std::array<int64_t, 3>{37, 53, 71}, {64, 100, 784}, {33, 65, 1000}, {100, 90, 32}}) {
    Matrix a(m, k, Order::kRows), b(k, n, Order::kColumns), c(m, n, Order::kRows);
    Fill(a);
    Fill(b, 1e-3F);
    RunOnVectors(ProductOf(a, b, c));
    const double of_floats = ErrorOf(a, b, c);
    ASSERT_TRUE(amx::RunProduct(ProductOf(a, b, c)));
    EXPECT_LT(ErrorOf(a, b, c), of_floats) << m << " " << n << " " << k;
    EXPECT_GT(of_floats, 1e-9);
  }
}

// 24 bits of each factor count: what one rounding to bfloat16 or two would lose shows.
TEST_F(Amx, SingleProductsAreThoseOfFloat) {
  Matrix a(40, 32, Order::kRows), b(32, 40, Order::kRows), c(40, 40, Order::kRows);
  std::uniform_real_distribution<float> uniform(1, 2);
  for (int i = 0; i < 40; ++i) a.At(i, i % 32) = std::ldexp(uniform(random_), i % 20 - 10);
  for (int s = 0; s < 32; ++s) {
    for (int j = 0; j < 40; ++j) b.At(s, j) = std::ldexp(-uniform(random_), j - 20);
  }
  ASSERT_TRUE(amx::RunProduct(ProductOf(a, b, c)));
  for (int64_t i = 0; i < 40; ++i) {
    for (int64_t j = 0; j < 40; ++j) {
      const double wanted = static_cast<double>(a.At(i, i % 32)) * b.At(i % 32, j);
      ASSERT_NEAR(c.At(i, j), wanted, std::abs(wanted) * 2.5e-7) << i << " " << j;
    }
  }
}

// Pieces of what is that small are denormal, and share registers with those of other elements.
TEST_F(Amx, ElementsThatAreAlmostNothingDisturbNoOthers) {
  for (const Order of_a : {Order::kRows, Order::kColumns}) {
    Matrix a(35, 96, of_a), b(96, 33, Order::kRows), c(35, 33, Order::kRows);
    Fill(a);
    Fill(b);
    Matrix without = a;
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (int i = 0; i < 35; ++i) {
      for (int s = 0; s < 96; ++s) {
        if ((i + s) % 3 != 0 && (s < 16 || s >= 64)) continue;
        a.At(i, s) = std::ldexp(uniform(random_), -100 - s % 50);
        without.At(i, s) = 0;
      }
    }
    ASSERT_TRUE(amx::RunProduct(ProductOf(a, b, c)));
    for (int64_t i = 0; i < 35; ++i) {
      for (int64_t j = 0; j < 33; ++j) {
        double sum = 0;
        for (int64_t s = 0; s < 96; ++s) sum += static_cast<double>(without.At(i, s)) * b.At(s, j);
        ASSERT_NEAR(c.At(i, j), sum, 1e-5) << i << " " << j;
      }
    }
  }
}

// Whichever operand is larger and however they lie: these decide which is packed how.
TEST_F(Amx, AnElementDependsOnItsRowAndColumnAlone) {
  for (const Order of_a : {Order::kRows, Order::kColumns}) {
    for (const Order of_b : {Order::kRows, Order::kColumns}) {
      for (const int64_t k : {45, 130, 601, 1100}) {
        Matrix a(150, k, of_a), b(k, 170, of_b), c(150, 170, Order::kRows), whole = c;
        Fill(a);
        Fill(b);
        ASSERT_TRUE(amx::RunProduct(ProductOf(a, b, whole)));
        for (const auto [rows, columns] : {std::array<gemm::Range, 2>{gemm::Range{0, 1}, {0, 170}},
                                           {gemm::Range{7, 150}, {3, 8}},
                                           {gemm::Range{16, 49}, {32, 65}},
                                           {gemm::Range{149, 150}, {169, 170}}}) {
          ASSERT_TRUE(amx::RunProduct(gemm::SubProduct(ProductOf(a, b, c), rows, columns)));
          for (int64_t i = rows.begin; i < rows.end; ++i) {
            for (int64_t j = columns.begin; j < columns.end; ++j) {
              ASSERT_EQ(c.At(i, j), whole.At(i, j)) << i << " " << j << " k " << k;
            }
          }
        }
      }
    }
  }
}

// The last lines of an operand may be packed with some of those before, or stand alone in a tile:
// what was there before does not matter.
TEST_F(Amx, WhatIsBesideNarrowGroupsIsNoResult) {
  for (const Order of_a : {Order::kRows, Order::kColumns}) {
    for (const Order of_b : {Order::kRows, Order::kColumns}) {
      for (const Order of_c : {Order::kRows, Order::kColumns}) {
        for (const auto [m, n] : {std::array<int64_t, 2>{32, 40}, {40, 32}, {20, 59}, {70, 47}}) {
          Matrix a(m, 256, of_a), b(256, n, of_b), c(m, n, of_c);
          Fill(a);
          Fill(b);
          Matrix infinite = a;
          std::fill(infinite.values.begin(), infinite.values.end(), kInfinity);
          EXPECT_FALSE(amx::RunProduct(ProductOf(infinite, b, c)));
          ASSERT_TRUE(amx::RunProduct(ProductOf(a, b, c))) << m << " " << n;
          EXPECT_LT(ErrorOf(a, b, c), 1e-7) << m << " " << n;
        }
      }
    }
  }
}

TEST_F(Amx, ResultsMayLieByColumnsWithABiasOfEither) {
  Matrix a(70, 90, Order::kRows), b(90, 50, Order::kRows);
  Fill(a);
  Fill(b);
  std::vector<float> bias(70);
  for (size_t i = 0; i < bias.size(); ++i) bias[i] = static_cast<float>(i) - 30;
  Matrix by_rows(70, 50, Order::kRows), by_columns(70, 50, Order::kColumns);
  for (Matrix* c : {&by_rows, &by_columns}) {
    Product<float> p = ProductOf(a, b, *c);
    p.bias_m = bias.data();
    p.relu = true;
    ASSERT_TRUE(amx::RunProduct(p));
    p.accumulate = true;
    p.bias_m = nullptr;
    p.bias_n = bias.data();
    p.relu = false;
    ASSERT_TRUE(amx::RunProduct(p));
  }
  for (int64_t i = 0; i < 70; ++i) {
    for (int64_t j = 0; j < 50; ++j) {
      double sum = 0;
      for (int64_t s = 0; s < 90; ++s) sum += static_cast<double>(a.At(i, s)) * b.At(s, j);
      const double wanted =
          std::max(sum + bias[static_cast<size_t>(i)], 0.0) + sum + bias[static_cast<size_t>(j)];
      ASSERT_NEAR(by_rows.At(i, j), wanted, 1e-4);
      ASSERT_EQ(by_rows.At(i, j), by_columns.At(i, j));
    }
  }
}

// Where pieces of bfloat16 do not hold a value its row or column is what floats give; all other
// elements keep their bits.
TEST_F(Amx, WhatPiecesDoNotHoldIsLeftToFloats) {
  const float largest = std::numeric_limits<float>::max();
  for (const float value : {kInfinity, -kInfinity, NAN, largest, 3.3962e38F}) {
    for (const bool accumulate : {false, true}) {
      Matrix a(50, 64, Order::kRows), b(64, 70, Order::kColumns), c(50, 70, Order::kRows);
      Fill(a);
      Fill(b, 1e-3F);
      Fill(c);
      Matrix found = c, of_floats = c, without = c;
      const auto run = [&](Matrix& to, void (*product)(const Product<float>&)) {
        Product<float> p = ProductOf(a, b, to);
        p.accumulate = accumulate;
        product(p);
      };
      const auto on_tiles = [](const Product<float>& p) { amx::RunTileProduct(p, RunOnVectors); };
      run(without, on_tiles);
      a.At(20, 63) = value;
      b.At(0, 41) = value;
      run(found, on_tiles);
      run(of_floats, RunOnVectors);
      for (int64_t i = 0; i < 50; ++i) {
        for (int64_t j = 0; j < 70; ++j) {
          const float wanted = i == 20 || j == 41 ? of_floats.At(i, j) : without.At(i, j);
          ASSERT_TRUE(AreSame(found.At(i, j), wanted)) << i << " " << j << " of " << value << ": "
                                                       << found.At(i, j) << " against " << wanted;
        }
      }
    }
  }
}

TEST_F(Amx, TheLargestThatPiecesHoldAreTaken) {
  Matrix a(3, 40, Order::kRows), b(40, 5, Order::kRows), c(3, 5, Order::kRows);
  a.At(1, 7) = 3.3895e38F;
  b.At(7, 2) = 0.5F;
  ASSERT_TRUE(amx::RunProduct(ProductOf(a, b, c)));
  EXPECT_FLOAT_EQ(c.At(1, 2), 3.3895e38F * 0.5F);
  a.At(1, 7) = 3.3962e38F;
  EXPECT_FALSE(amx::RunProduct(ProductOf(a, b, c)));
}

TEST(AmxChoice, RowsDoNotDecide) {
  EXPECT_TRUE(amx::SuitsTiles(1000, 784));
  EXPECT_TRUE(amx::SuitsTiles(10, 1000));
  EXPECT_FALSE(amx::SuitsTiles(10, 7));
  EXPECT_FALSE(amx::SuitsTiles(100000, 31));
}

}  // namespace
}  // namespace lockstep::cpu
