// Sums and extrema of flat arrays, in two steps: part k of `parts` by block k, then all parts by
// one block. Borders depend on the size alone, and so does the order of every sum.
#ifndef LOCKSTEP_KERNELS_MATH_SUMS_H_
#define LOCKSTEP_KERNELS_MATH_SUMS_H_

#include <cstdint>

#include "kernels/math/block.h"
#include "kernels/math/fixed_point.h"
#include "kernels/math/host_device.h"

namespace lockstep::math {

// Part k of [0, size).
struct Parts {
  int64_t size, parts;

  LOCKSTEP_FORMULA int64_t Begin(int64_t k) const { return size / parts * k + Extra(k); }

 private:
  LOCKSTEP_FORMULA int64_t Extra(int64_t k) const {
    const int64_t left = size % parts;
    return k < left ? k : left;
  }
};

// The parts of `size` elements: few enough for one block to add them, and enough for a large GPU.
LOCKSTEP_FORMULA int64_t PartsOf(int64_t size) {
  constexpr int64_t kElements = 8192, kMost = 1024;
  const int64_t parts = (size + kElements - 1) / kElements;
  return parts < 1 ? 1 : parts < kMost ? parts : kMost;
}

// part[k] = the sum of term(i).
template <typename Term>
struct SumParts {
  Parts cut;
  Term term;
  double* part;

  template <typename Block>
  LOCKSTEP_FORMULA void operator()(const Block& block, int64_t k) const {
    double sum = 0;
    const int64_t end = cut.Begin(k + 1);
    for (int64_t i = cut.Begin(k) + block.rank(); i < end; i += block.size()) sum += term(i);
    sum = block.Sum(sum);
    if (block.rank() == 0) part[k] = sum;
  }
};

// part[k] = the largest term(i), `none` of none.
template <typename Value, typename Term>
struct MaxParts {
  Parts cut;
  Term term;
  Value none;
  Value* part;

  template <typename Block>
  LOCKSTEP_FORMULA void operator()(const Block& block, int64_t k) const {
    Value max = none;
    const int64_t end = cut.Begin(k + 1);
    for (int64_t i = cut.Begin(k) + block.rank(); i < end; i += block.size()) {
      max = Larger(max, term(i));
    }
    max = block.Max(max);
    if (block.rank() == 0) part[k] = max;
  }
};

// What earlier steps left: the second step's terms.
template <typename Value>
struct PartTerm {
  const Value* part;
  LOCKSTEP_FORMULA Value operator()(int64_t i) const { return part[i]; }
};

// *sum += the sum of all parts, by one block.
struct AddParts {
  int64_t parts;
  const double* part;
  double* sum;

  template <typename Block>
  LOCKSTEP_FORMULA void operator()(const Block& block, int64_t) const {
    double total = 0;
    for (int64_t k = block.rank(); k < parts; k += block.size()) total += part[k];
    total = block.Sum(total);
    if (block.rank() == 0) *sum += total;
  }
};

// In double, so that neither the squares of large values overflow nor small ones get lost.
template <typename T>
struct SquareTerm {
  const T* x;
  LOCKSTEP_FORMULA double operator()(int64_t i) const {
    const double v = static_cast<double>(x[i]);
    return v * v;
  }
};

// (x - target)^2; its gradient goes to dx, unless that is null.
template <typename T>
struct SquaredErrorTerm {
  const T* x;
  const T* target;
  T* dx;
  LOCKSTEP_FORMULA double operator()(int64_t i) const {
    const T error = x[i] - target[i];
    if (dx != nullptr) dx[i] = T(2) * error;
    const double d = static_cast<double>(error);
    return d * d;
  }
};

// Minus the index of an element that is not finite, so that the first is the largest.
inline constexpr int64_t kAllFinite = -0x7FFFFFFFFFFFFFFF;

template <typename T>
struct NonFiniteTerm {
  const T* x;
  LOCKSTEP_FORMULA int64_t operator()(int64_t i) const {
    return Magnitude(x[i]) >= Bits<T>::kInfinity ? -i : kAllFinite;
  }
};

template <typename T>
struct MagnitudeTerm {
  const T* x;
  LOCKSTEP_FORMULA int64_t operator()(int64_t i) const { return Magnitude(x[i]); }
};

}  // namespace lockstep::math

#endif  // LOCKSTEP_KERNELS_MATH_SUMS_H_
