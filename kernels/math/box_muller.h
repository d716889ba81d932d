// Random words to numbers of a distribution.
#ifndef LOCKSTEP_KERNELS_MATH_BOX_MULLER_H_
#define LOCKSTEP_KERNELS_MATH_BOX_MULLER_H_

#include <cstdint>

#include "kernels/math/host_device.h"
#include "kernels/math/square_root.h"
#include "kernels/math/transcendental.h"

namespace lockstep::math {

// Two words to two independent normal numbers (Box and Muller, 1958). The radius takes 31 bits,
// which lets |z| reach 6.6; conversions go through int32 because every vector unit has that one.
template <typename T>
LOCKSTEP_FORMULA void BoxMuller(uint32_t word0, uint32_t word1, T* z0, T* z1) {
  const T u = (static_cast<T>(static_cast<int32_t>(word0 >> 1)) + T(0.5)) * T(1.0 / 2147483648.0);
  const T turns = static_cast<T>(static_cast<int32_t>(word1 >> 8)) * T(1.0 / 16777216.0);
  const T square = T(-2) * Log(u);
  const T radius = SquareRoot(square < T(0) ? T(0) : square);
  T sine, cosine;
  SinCosTurns(turns, &sine, &cosine);
  *z0 = radius * cosine;
  *z1 = radius * sine;
}

// Uniform in [0, 1) with 24 bits: UniformFloat of philox.h for any T.
template <typename T>
LOCKSTEP_FORMULA T UniformUnit(uint32_t word) {
  return static_cast<T>(static_cast<int32_t>(word >> 8)) * T(1.0 / 16777216.0);
}

}  // namespace lockstep::math

#endif  // LOCKSTEP_KERNELS_MATH_BOX_MULLER_H_
