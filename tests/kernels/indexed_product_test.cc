// IndexedProduct of every instruction set this machine has, against sums in double.
#include "kernels/cpu/conv/indexed_product.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace lockstep::cpu {

namespace baseline {
extern const IndexedTable kIndexedTable;
}

namespace {

std::vector<float> RandomValues(int64_t size, uint32_t seed) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(static_cast<size_t>(size));
  for (float& v : values) v = uniform(engine);
  return values;
}

std::vector<int64_t> Multiples(int64_t count, int64_t step) {
  std::vector<int64_t> values;
  for (int64_t i = 0; i < count; ++i) values.push_back(i * step);
  return values;
}

struct Options {
  int64_t rows, vectors, steps;
  bool partial;     // the last vector lacks lanes
  bool transposed;  // rows of c are adjacent, lanes are not
  bool accumulate, bias, relu;
};

void Check(const IndexedTable& table, const Options& o) {
  const int64_t lanes = table.lanes, width = o.vectors * lanes + 3;
  const auto a = RandomValues(o.rows * o.steps, 1), b = RandomValues(o.steps * width, 2);
  const auto bias = RandomValues(o.rows, 3), before = RandomValues(o.rows * width, 4);
  const auto a_row = Multiples(o.rows, o.steps), a_step = Multiples(o.steps, 1);
  const auto b_vector = Multiples(o.vectors, lanes), b_step = Multiples(o.steps, width);
  const auto c_row = Multiples(o.rows, o.transposed ? 1 : width);
  const int64_t c_lane = o.transposed ? o.rows : 1;
  const auto c_vector = Multiples(o.vectors, lanes * c_lane);
  std::vector<int64_t> valid(static_cast<size_t>(o.vectors), lanes);
  if (o.partial) valid.back() = lanes - 1;
  std::vector<float> c = before, wanted = before;
  table.product({o.rows, o.vectors, o.steps, a.data(), a_row.data(), a_step.data(), b.data(),
                 b_vector.data(), b_step.data(), c.data(), c_row.data(), c_vector.data(), c_lane,
                 valid.data(), o.accumulate, o.bias ? bias.data() : nullptr, o.relu});
  for (int64_t i = 0; i < o.rows; ++i) {
    for (int64_t j = 0; j < o.vectors * lanes - (o.partial ? 1 : 0); ++j) {
      const auto at = static_cast<size_t>(c_row[static_cast<size_t>(i)] + j * c_lane);
      double sum = o.accumulate ? before[at] : 0;
      if (o.bias) sum += bias[static_cast<size_t>(i)];
      for (int64_t s = 0; s < o.steps; ++s) {
        sum += static_cast<double>(a[static_cast<size_t>(i * o.steps + s)]) *
               b[static_cast<size_t>(s * width + j)];
      }
      wanted[at] = static_cast<float>(o.relu && sum < 0 ? 0 : sum);
    }
  }
  for (size_t i = 0; i < c.size(); ++i) {
    ASSERT_NEAR(c[i], wanted[i], 1e-5)
        << "lanes " << lanes << " rows " << o.rows << " vectors " << o.vectors << " element " << i;
  }
}

TEST(IndexedProduct, EqualsSumsInDoubleAndTouchesNothingElse) {
  for (const IndexedTable* table : {&baseline::kIndexedTable, &IndexedTableOf(BestIsa())}) {
    for (int64_t rows = 1; rows <= 19; ++rows) {
      for (int64_t vectors = 1; vectors <= 5; ++vectors) {
        for (const bool flag : {false, true}) {
          Check(*table, {rows, vectors, 7, flag, false, flag, !flag, flag});
          Check(*table, {rows, vectors, 13, flag, true, !flag, flag, false});
          Check(*table, {rows, vectors, 0, false, false, flag, true, !flag});
        }
      }
    }
  }
}

TEST(IndexedProduct, TransposeMovesEveryElement) {
  for (const IndexedTable* table : {&baseline::kIndexedTable, &IndexedTableOf(BestIsa())}) {
    for (const int64_t rows : {1, 4, 7, 16}) {
      for (const int64_t columns : {1, 4, 9, 30}) {
        const auto from = RandomValues(rows * (columns + 2), 1);
        std::vector<float> to(static_cast<size_t>(columns * (rows + 1)), 9);
        table->transpose(from.data(), columns + 2, rows, columns, to.data(), rows + 1);
        for (int64_t i = 0; i < rows; ++i) {
          for (int64_t j = 0; j < columns; ++j) {
            ASSERT_EQ(to[static_cast<size_t>(j * (rows + 1) + i)],
                      from[static_cast<size_t>(i * (columns + 2) + j)]);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace lockstep::cpu
