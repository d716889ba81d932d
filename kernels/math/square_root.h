// The square root, rounded correctly, on host and device.
#ifndef LOCKSTEP_KERNELS_MATH_SQUARE_ROOT_H_
#define LOCKSTEP_KERNELS_MATH_SQUARE_ROOT_H_

#include "kernels/math/host_device.h"

namespace lockstep::math {

LOCKSTEP_FORMULA float SquareRoot(float x) { return __builtin_sqrtf(x); }
LOCKSTEP_FORMULA double SquareRoot(double x) { return __builtin_sqrt(x); }

}  // namespace lockstep::math

#endif  // LOCKSTEP_KERNELS_MATH_SQUARE_ROOT_H_
