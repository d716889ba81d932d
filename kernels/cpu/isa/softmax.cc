#include "kernels/cpu/isa/families.h"
#include "kernels/cpu/isa/vec.h"
#include "kernels/math/extremum.h"
#include "kernels/math/transcendental.h"

namespace lockstep::cpu::LOCKSTEP_ISA {
namespace {

// Partial sums of a row, in a fixed order.
constexpr int64_t kParts = 8;

// The maximum of a row, size > 0. The last vector may overlap the one before.
template <typename T>
LOCKSTEP_FORMULA T RowMax(int64_t size, const T* x) {
  using V = Vec<T>;
  T max = x[0];
  if (size < kLanes<T>) {
    for (int64_t i = 1; i < size; ++i) max = math::Larger(max, x[i]);
    return max;
  }
  V m = Load<V>(x);
  for (int64_t i = kLanes<T>; i < size; i += kLanes<T>) {
    const int64_t at = i + kLanes<T> <= size ? i : size - kLanes<T>;
    m = math::Larger(m, Load<V>(x + at));
  }
  T lanes[kLanes<T>];
  Store(lanes, m);
#pragma GCC unroll 4
  for (int64_t half = kLanes<T> / 2; half > 0; half /= 2) {
    for (int64_t j = 0; j < half; ++j) lanes[j] = math::Larger(lanes[j], lanes[j + half]);
  }
  return lanes[0];
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
  for (int64_t j = 0; j < kParts / 2; ++j) part[j] += part[j + kParts / 2];
  return sum + ((part[0] + part[2]) + (part[1] + part[3]));
}

// Rows are worked on in tiles, so that short rows share vectors.
constexpr int64_t kTileRows = 32;
constexpr int64_t kTileElements = 1024;

LOCKSTEP_FORMULA int64_t TileRows(int64_t classes) {
  const int64_t fitting = kTileElements / classes;
  return fitting < 1 ? 1 : fitting < kTileRows ? fitting : kTileRows;
}

// e = exp(x - max[r]) for each row, and sum[r] of it. e may be x.
template <typename T>
LOCKSTEP_FORMULA void ExpRows(int64_t rows, int64_t classes, const T* x, const T* max, T* e,
                              T* sum) {
  for (int64_t r = 0; r < rows; ++r) {
    LOCKSTEP_INDEPENDENT
    for (int64_t i = 0; i < classes; ++i) e[r * classes + i] = x[r * classes + i] - max[r];
  }
  for (int64_t i = 0; i < rows * classes; ++i) e[i] = math::Exp(e[i]);
  for (int64_t r = 0; r < rows; ++r) {
    sum[r] = RowSum<T>(classes, [&](int64_t i) { return e[r * classes + i]; });
  }
}

template <typename T>
void Forward(int64_t rows, int64_t classes, const T* x, T* y) {
  T max[kTileRows], sum[kTileRows];
  const int64_t tile = TileRows(classes);
  for (int64_t begin = 0; begin < rows; begin += tile) {
    const int64_t count = rows - begin < tile ? rows - begin : tile;
    const T* from = x + begin * classes;
    T* to = y + begin * classes;
    for (int64_t r = 0; r < count; ++r) max[r] = RowMax(classes, from + r * classes);
    ExpRows(count, classes, from, max, to, sum);
    for (int64_t r = 0; r < count; ++r) {
      const T factor = T(1) / sum[r];
      for (int64_t i = 0; i < classes; ++i) to[r * classes + i] *= factor;
    }
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

// Without a gradient: the sums of exp(x - max) alone, in parts of a stack buffer.
template <typename T>
LOCKSTEP_FORMULA void ExpSums(int64_t rows, int64_t classes, const T* x, const T* max, T* sum) {
  T e[kTileElements];
  if (rows * classes <= kTileElements) return ExpRows(rows, classes, x, max, e, sum);
  sum[0] = 0;  // one long row
  for (int64_t i = 0; i < classes; i += kTileElements) {
    T part;
    ExpRows(1, classes - i < kTileElements ? classes - i : kTileElements, x + i, max, e, &part);
    sum[0] += part;
  }
}

template <typename T>
LOCKSTEP_FORMULA void Gradient(int64_t classes, int64_t label, T sum, T* dx) {
  if (label < 0) {
    for (int64_t i = 0; i < classes; ++i) dx[i] = T(0);
    return;
  }
  const T factor = T(1) / sum;
  for (int64_t i = 0; i < classes; ++i) dx[i] *= factor;
  dx[label] -= T(1);
}

// Logarithms are taken in double: one a row, and losses near 0 keep their digits. dx may be x.
template <typename T>
LOCKSTEP_FORMULA void CrossEntropyTile(int64_t rows, int64_t classes, const T* x,
                                       const int32_t* labels, T* dx, CrossEntropySums* sums) {
  T max[kTileRows], sum[kTileRows];
  double distance[kTileRows], log_sum[kTileRows];
  for (int64_t r = 0; r < rows; ++r) {
    const T* row = x + r * classes;
    const int64_t label = labels[r];
    max[r] = RowMax(classes, row);
    if (label < 0) continue;
    distance[r] = static_cast<double>(max[r]) - static_cast<double>(row[label]);
    sums->correct += FirstMaximumIs(classes, row, max[r], label) ? 1 : 0;
  }
  if (dx == nullptr) {
    ExpSums(rows, classes, x, max, sum);
  } else {
    ExpRows(rows, classes, x, max, dx, sum);
  }
  for (int64_t r = 0; r < rows; ++r) log_sum[r] = math::Log(static_cast<double>(sum[r]));
  for (int64_t r = 0; r < rows; ++r) {
    if (labels[r] >= 0) sums->loss += log_sum[r] + distance[r];
    if (dx != nullptr) Gradient(classes, labels[r], sum[r], dx + r * classes);
  }
}

template <typename T>
CrossEntropySums CrossEntropy(int64_t rows, int64_t classes, const T* x, const int32_t* labels,
                              T* dx) {
  CrossEntropySums sums{0, 0};
  const int64_t tile = TileRows(classes);
  for (int64_t r = 0; r < rows; r += tile) {
    CrossEntropyTile(rows - r < tile ? rows - r : tile, classes, x + r * classes, labels + r,
                     dx == nullptr ? nullptr : dx + r * classes, &sums);
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
