// The second step of the losses: what rows or parts gave goes to LossSums in the device's memory.
#ifndef LOCKSTEP_KERNELS_MATH_LOSSES_H_
#define LOCKSTEP_KERNELS_MATH_LOSSES_H_

#include <cstdint>

#include "kernels/math/bad_label.h"
#include "kernels/math/block.h"
#include "kernels/math/host_device.h"
#include "kernels/math/softmax_rows.h"
#include "kernels/softmax.h"

namespace lockstep::math {

// Of CrossEntropyRows, by one block. A label that is none leaves *sums alone and is recorded,
// unless another one is already. loss may be null.
template <typename T>
struct CollectRows {
  int64_t size, classes;
  const RowLoss* rows;
  const int32_t* labels;
  LossSums* sums;
  BadLabel* bad;
  T* loss;

  template <typename Block>
  LOCKSTEP_FORMULA void operator()(const Block& block, int64_t) const {
    double total = 0;
    int64_t count = 0, correct = 0, good = size;  // good: rows in front of the first bad one
    for (int64_t r = block.rank(); r < size; r += block.size()) {
      const RowLoss row = rows[r];
      total += row.loss;
      count += row.counts;
      correct += row.correct;
      if (row.bad != 0 && r < good) good = r;
    }
    total = block.Sum(total);
    count = block.Sum(count);
    correct = block.Sum(correct);
    good = -block.Max(-good);
    if (block.rank() != 0) return;
    if (loss != nullptr) *loss = static_cast<T>(total);
    if (good < size) {
      if (bad->rows == 0) *bad = {size, good, classes, labels[good]};
      return;
    }
    sums->loss += total;
    sums->count += count;
    sums->metric += static_cast<double>(correct);
    sums->metric_count += size;
  }
};

// Of the parts of a sum of squared errors over `size` elements, by one block.
template <typename T>
struct CollectSquares {
  int64_t parts, size;
  const double* part;
  LossSums* sums;
  T* loss;

  template <typename Block>
  LOCKSTEP_FORMULA void operator()(const Block& block, int64_t) const {
    double total = 0;
    for (int64_t k = block.rank(); k < parts; k += block.size()) total += part[k];
    total = block.Sum(total);
    if (block.rank() != 0) return;
    if (loss != nullptr) *loss = static_cast<T>(total);
    sums->loss += total;
    sums->count += size;
    sums->metric += total;
    sums->metric_count += size;
  }
};

}  // namespace lockstep::math

#endif  // LOCKSTEP_KERNELS_MATH_LOSSES_H_
