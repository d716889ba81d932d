// Blocks of threads, divisions and indices: what the kernels of a GPU are made of.
#include "kernels/math/block.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/math/divisor.h"
#include "kernels/math/sums.h"
#include "tests/kernels/host_stream.h"
#include "tests/kernels/kernel_test.h"

namespace lockstep::test {
namespace {

// Each rank r of block b gives values[r]; `results` gets what every rank was answered.
struct ColumnSums {
  int columns;
  const int64_t* values;
  int64_t* results;
  template <typename Block>
  void operator()(const Block& block, int64_t) const {
    const int rank = block.rank();
    results[rank] = block.Combine(values[rank], columns, math::PlusOp{});
  }
};

TEST(Block, CombinesTheRowsOfEachColumnForEverySize) {
  for (int size = 1; size <= 9; ++size) {
    for (int columns = 1; columns <= size; ++columns) {
      std::vector<int64_t> values, results(static_cast<size_t>(size)), wanted(results);
      for (int r = 0; r < size; ++r) values.push_back(int64_t{1} << (4 * r));
      const int whole = size / columns * columns;
      for (int r = 0; r < whole; ++r) {
        for (int to = r % columns; to < size; to += columns) {
          wanted[static_cast<size_t>(to)] += values[static_cast<size_t>(r)];
        }
      }
      HostStream(size).ForBlocks("", 3, ColumnSums{columns, values.data(), results.data()});
      EXPECT_EQ(results, wanted) << size << " threads, " << columns << " columns";
    }
  }
}

struct SumAndMax {
  const double* values;
  double* sums;
  double* maxima;
  template <typename Block>
  void operator()(const Block& block, int64_t b) const {
    const double v = values[block.rank()] + static_cast<double>(b);
    sums[block.rank()] = block.Sum(v);
    maxima[block.rank()] = block.Max(v);
  }
};

TEST(Block, EveryRankGetsTheSumAndTheLargestOrNaN) {
  for (int size = 1; size <= 7; ++size) {
    std::vector<double> values, sums(7), maxima(7);
    double wanted = 0;
    for (int r = 0; r < size; ++r) values.push_back(r == 2 ? 50 : r), wanted += values.back() + 4;
    HostStream(size).ForBlocks("", 5, SumAndMax{values.data(), sums.data(), maxima.data()});
    for (int r = 0; r < size; ++r) {
      EXPECT_EQ(sums[static_cast<size_t>(r)], wanted);
      EXPECT_EQ(maxima[static_cast<size_t>(r)], size > 2 ? 54 : size + 3);
    }
    values.back() = NAN;
    HostStream(size).ForBlocks("", 1, SumAndMax{values.data(), sums.data(), maxima.data()});
    EXPECT_TRUE(std::isnan(maxima[0]));
  }
}

TEST(Parts, CoverEveryElementOnceInEqualShares) {
  for (const int64_t size : {0, 1, 7, 8192, 100000}) {
    for (const int64_t parts : {1, 2, 7, 64}) {
      const math::Parts cut{size, parts};
      EXPECT_EQ(cut.Begin(0), 0);
      EXPECT_EQ(cut.Begin(parts), size);
      for (int64_t k = 0; k < parts; ++k) {
        const int64_t share = cut.Begin(k + 1) - cut.Begin(k);
        EXPECT_TRUE(share == size / parts || share == size / parts + 1) << size << " " << k;
      }
    }
  }
}

TEST(Divisor, IsExactForSmallAndLargeNumbers) {
  std::vector<int64_t> numbers = {0,
                                  1,
                                  2,
                                  (int64_t{1} << 31) - 1,
                                  int64_t{1} << 31,
                                  (int64_t{1} << 31) + 1,
                                  (int64_t{1} << 40) + 12345};
  for (uint64_t i = 0; i < 2000; ++i) {
    numbers.push_back(static_cast<int64_t>(Mix64(i) >> (33 + i % 30)));
  }
  for (int64_t d = 1; d < 700; ++d) numbers.push_back(d);
  for (const int64_t d : numbers) {
    if (d == 0) continue;
    const math::Divisor by(d);
    for (const int64_t n : numbers) {
      int64_t rest;
      ASSERT_EQ(by.Quotient(n), n / d) << n << " / " << d;
      ASSERT_EQ(by.Divide(n, &rest), n / d);
      ASSERT_EQ(rest, n % d);
    }
    for (int64_t k = 1; k < 40; ++k) {  // around multiples
      for (const int64_t n : {k * d - 1, k * d, k * d + 1}) ASSERT_EQ(by.Quotient(n), n / d);
    }
  }
}

}  // namespace
}  // namespace lockstep::test
