#include "kernels/cpu/isa/families.h"
#include "kernels/cpu/isa/vec.h"
#include "kernels/math/transcendental.h"

namespace lockstep::cpu::LOCKSTEP_ISA {
namespace {

// Partial results of a row: fixed, so that sums have one order on every instruction set.
constexpr int64_t kParts = 16;

// The maximum; NaN when there is one.
template <typename T>
LOCKSTEP_FORMULA T RowMax(int64_t size, const T* x) {
  T part[kParts];
  for (int64_t j = 0; j < kParts; ++j) part[j] = x[0];
  int64_t i = 0;
  for (; i + kParts <= size; i += kParts) {
    for (int64_t j = 0; j < kParts; ++j) {
      const T v = x[i + j];
      part[j] = (v > part[j]) | (v != v) ? v : part[j];
    }
  }
  T max = x[0];
  for (; i < size; ++i) max = (x[i] > max) | (x[i] != x[i]) ? x[i] : max;
  if (size < kParts) return max;
  for (const T v : part) max = (v > max) | (v != v) ? v : max;
  return max;
}

// The sum of f(i) over [0, size).
template <typename T, typename F>
LOCKSTEP_FORMULA T RowSum(int64_t size, const F& f) {
  T part[kParts] = {};
  int64_t i = 0;
  for (; i + kParts <= size; i += kParts) {
    for (int64_t j = 0; j < kParts; ++j) part[j] += f(i + j);
  }
  T sum = 0;
  for (; i < size; ++i) sum += f(i);
  if (size < kParts) return sum;
  for (const T v : part) sum += v;
  return sum;
}

// y = exp(x - max), and the sum of it. y may be x.
template <typename T>
LOCKSTEP_FORMULA T ExpRow(int64_t size, T max, const T* x, T* y) {
  LOCKSTEP_INDEPENDENT
  for (int64_t i = 0; i < size; ++i) y[i] = math::Exp(x[i] - max);
  return RowSum<T>(size, [&](int64_t i) { return y[i]; });
}

template <typename T>
void Forward(int64_t rows, int64_t classes, const T* x, T* y) {
  for (int64_t r = 0; r < rows; ++r, x += classes, y += classes) {
    const T factor = T(1) / ExpRow(classes, RowMax(classes, x), x, y);
    for (int64_t i = 0; i < classes; ++i) y[i] *= factor;
  }
}

template <typename T>
void Backward(int64_t rows, int64_t classes, const T* y, const T* dy, T* dx) {
  for (int64_t r = 0; r < rows; ++r, y += classes, dy += classes, dx += classes) {
    const T dot = RowSum<T>(classes, [&](int64_t i) { return y[i] * dy[i]; });
    LOCKSTEP_INDEPENDENT
    for (int64_t i = 0; i < classes; ++i) dx[i] = y[i] * (dy[i] - dot);
  }
}

// Whether the first maximum (the first NaN, if any) of the row is at `label`.
template <typename T>
LOCKSTEP_FORMULA bool FirstMaximumIs(int64_t classes, const T* x, T max, int64_t label) {
  for (int64_t i = 0; i < classes; ++i) {
    if (x[i] == max || (x[i] != x[i] && max != max)) return i == label;
  }
  return false;
}

// Without a gradient: the sum of exp(x - max) alone, in parts of a stack buffer.
template <typename T>
LOCKSTEP_FORMULA T ExpSum(int64_t size, T max, const T* x) {
  constexpr int64_t kBuffer = 256;
  T e[kBuffer];
  T sum = 0;
  for (int64_t i = 0; i < size; i += kBuffer) {
    const int64_t count = size - i < kBuffer ? size - i : kBuffer;
    sum += ExpRow(count, max, x + i, e);
  }
  return sum;
}

// Logarithms are taken in double: one a row, and losses near 0 keep their digits.
template <typename T>
CrossEntropySums CrossEntropy(int64_t rows, int64_t classes, const T* x, const int32_t* labels,
                              T* dx) {
  CrossEntropySums sums{0, 0};
  for (int64_t r = 0; r < rows; ++r, x += classes, dx += dx == nullptr ? 0 : classes) {
    const int64_t label = labels[r];
    if (label < 0) {
      for (int64_t i = 0; dx != nullptr && i < classes; ++i) dx[i] = 0;
      continue;
    }
    const T max = RowMax(classes, x);
    const double distance = static_cast<double>(max) - static_cast<double>(x[label]);
    sums.correct += FirstMaximumIs(classes, x, max, label) ? 1 : 0;
    const T sum = dx == nullptr ? ExpSum(classes, max, x) : ExpRow(classes, max, x, dx);
    sums.loss += math::Log(static_cast<double>(sum)) + distance;
    if (dx == nullptr) continue;
    const T factor = T(1) / sum;
    for (int64_t i = 0; i < classes; ++i) dx[i] *= factor;
    dx[label] -= T(1);
  }
  return sums;
}

template <typename T>
double SquaredError(int64_t size, const T* x, const T* target, T* dx) {
  const double sum = RowSum<double>(size, [&](int64_t i) {
    const double d = static_cast<double>(x[i] - target[i]);
    return d * d;
  });
  if (dx == nullptr) return sum;
  LOCKSTEP_INDEPENDENT
  for (int64_t i = 0; i < size; ++i) dx[i] = T(2) * (x[i] - target[i]);
  return sum;
}

template <typename T>
SoftmaxLoops<T> Of() {
  return {Forward<T>, Backward<T>, CrossEntropy<T>, SquaredError<T>};
}

}  // namespace

void GetSoftmax(SoftmaxLoops<float>* f32, SoftmaxLoops<double>* f64) {
  *f32 = Of<float>();
  *f64 = Of<double>();
}

}  // namespace lockstep::cpu::LOCKSTEP_ISA
