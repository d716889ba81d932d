// Maxima that treat NaN as NumPy does.
#ifndef LOCKSTEP_KERNELS_MATH_EXTREMUM_H_
#define LOCKSTEP_KERNELS_MATH_EXTREMUM_H_

#include "kernels/math/host_device.h"

namespace lockstep::math {

// The larger of m and v, NaN when either is. V may be a vector. Two selects, because compilers turn
// one with a compound condition into branches.
template <typename V>
LOCKSTEP_FORMULA V Larger(V m, V v) {
  const V larger = v > m ? v : m;
  return v == v ? larger : v;
}

}  // namespace lockstep::math

#endif  // LOCKSTEP_KERNELS_MATH_EXTREMUM_H_
