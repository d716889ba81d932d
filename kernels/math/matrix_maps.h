// Maps over matrices whose rows may be apart.
#ifndef LOCKSTEP_KERNELS_MATH_MATRIX_MAPS_H_
#define LOCKSTEP_KERNELS_MATH_MATRIX_MAPS_H_

#include <cstdint>

#include "kernels/math/divisor.h"
#include "kernels/math/half.h"
#include "kernels/math/host_device.h"

namespace lockstep::math {

// c = activation(c + bias) behind a product, element i of its (m, n) result; bias may be null. What
// was there counts as 0 unless it is `kept`.
template <typename T>
struct MatrixEpilogueMap {
  Divisor by_n;
  int64_t ldc;
  bool kept;
  const T* bias;
  bool relu;
  T* c;

  LOCKSTEP_FORMULA void operator()(int64_t i) const {
    int64_t column;
    const int64_t row = by_n.Divide(i, &column);
    T* const at = c + row * ldc + column;
    Accumulator<T> v = kept ? Accumulator<T>(*at) : 0;
    if (bias != nullptr) v += Accumulator<T>(bias[column]);
    *at = T(relu && v < 0 ? 0 : v);
  }
};

}  // namespace lockstep::math

#endif  // LOCKSTEP_KERNELS_MATH_MATRIX_MAPS_H_
