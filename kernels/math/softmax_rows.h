// Softmax and its loss over one row, by a block (kernels/math/block.h) of any size.
#ifndef LOCKSTEP_KERNELS_MATH_SOFTMAX_ROWS_H_
#define LOCKSTEP_KERNELS_MATH_SOFTMAX_ROWS_H_

#include <cstdint>

#include "kernels/math/block.h"
#include "kernels/math/extremum.h"
#include "kernels/math/host_device.h"
#include "kernels/math/transcendental.h"

namespace lockstep::math {

// The maximum of a row, NaN if it holds one; every rank gets it. classes > 0.
template <typename T, typename Block>
LOCKSTEP_FORMULA T RowMax(const Block& block, int64_t classes, const T* x) {
  T max = x[0];
  for (int64_t i = block.rank(); i < classes; i += block.size()) max = Larger(max, x[i]);
  return block.Max(max);
}

// The sum of exp(x - max); every rank gets it. The terms go to e, unless it is null; e may be x.
template <typename T, typename Block>
LOCKSTEP_FORMULA T ExpSum(const Block& block, int64_t classes, const T* x, T max, T* e) {
  T sum = 0;
  for (int64_t i = block.rank(); i < classes; i += block.size()) {
    const T term = Exp(x[i] - max);
    if (e != nullptr) e[i] = term;
    sum += term;
  }
  return block.Sum(sum);
}

template <typename T>
struct SoftmaxRows {
  int64_t classes;
  const T* x;
  T* y;

  template <typename Block>
  LOCKSTEP_FORMULA void operator()(const Block& block, int64_t row) const {
    const T* from = x + row * classes;
    T* to = y + row * classes;
    const T max = RowMax(block, classes, from);
    const T factor = T(1) / ExpSum(block, classes, from, max, to);
    for (int64_t i = block.rank(); i < classes; i += block.size()) to[i] *= factor;
  }
};

// dx = y * (dy - sum(y * dy)).
template <typename T>
struct SoftmaxGradientRows {
  int64_t classes;
  const T* y;
  const T* dy;
  T* dx;

  template <typename Block>
  LOCKSTEP_FORMULA void operator()(const Block& block, int64_t row) const {
    const int64_t at = row * classes;
    T part = 0;
    for (int64_t i = block.rank(); i < classes; i += block.size()) part += y[at + i] * dy[at + i];
    const T dot = block.Sum(part);
    for (int64_t i = block.rank(); i < classes; i += block.size()) {
      dx[at + i] = y[at + i] * (dy[at + i] - dot);
    }
  }
};

// What a row gives to the loss, see LossSums. `bad` tells a label that is none.
struct RowLoss {
  double loss;
  int32_t counts, correct, bad;
};

// Loss, gradient of the sum of the losses and metric of a row, each read once. dx may be null, and
// it may be x.
template <typename T>
struct CrossEntropyRows {
  int64_t classes;
  const T* x;
  const int32_t* labels;
  RowLoss* rows;
  T* dx;

  template <typename Block>
  LOCKSTEP_FORMULA void operator()(const Block& block, int64_t row) const {
    const int64_t label = labels[row];
    const bool is_bad = label < -1 || label >= classes;
    T* to = dx == nullptr ? nullptr : dx + row * classes;
    if (label < 0 || is_bad) {
      for (int64_t i = block.rank(); to != nullptr && i < classes; i += block.size()) to[i] = T(0);
      if (block.rank() == 0) rows[row] = {0.0, 0, 0, is_bad ? 1 : 0};
      return;
    }
    const T* from = x + row * classes;
    const T at_label = from[label];
    const T max = RowMax(block, classes, from);
    const bool is_first = FirstTop(block, from, max) == label;  // before dx takes the place of x
    const T sum = ExpSum(block, classes, from, max, to);
    if (block.rank() == 0) {
      // In double: one a row, and losses near 0 keep their digits.
      const double distance = static_cast<double>(max) - static_cast<double>(at_label);
      rows[row] = {Log(static_cast<double>(sum)) + distance, 1, is_first ? 1 : 0, 0};
    }
    if (to == nullptr) return;
    const T factor = T(1) / sum;
    for (int64_t i = block.rank(); i < classes; i += block.size()) {
      to[i] = to[i] * factor - (i == label ? T(1) : T(0));
    }
  }

 private:
  // The index of the first maximum, or of the first NaN if there is one.
  template <typename Block>
  LOCKSTEP_FORMULA int64_t FirstTop(const Block& block, const T* from, T max) const {
    int64_t first = classes;
    for (int64_t i = block.rank(); i < classes && first == classes; i += block.size()) {
      if (from[i] == max || (from[i] != from[i] && max != max)) first = i;
    }
    return -block.Max(-first);
  }
};

}  // namespace lockstep::math

#endif  // LOCKSTEP_KERNELS_MATH_SOFTMAX_ROWS_H_
