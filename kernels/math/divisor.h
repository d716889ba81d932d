// Division by a number that is the same for all elements: a GPU has no instruction for it.
#ifndef LOCKSTEP_KERNELS_MATH_DIVISOR_H_
#define LOCKSTEP_KERNELS_MATH_DIVISOR_H_

#include <cstdint>

#include "kernels/math/host_device.h"

namespace lockstep::math {

// Quotients of n >= 0 by d >= 1. Below 2^31 by a product with the rounded-up reciprocal (Granlund
// and Montgomery, "Division by invariant integers using multiplication", PLDI 1994), above by an
// ordinary division.
class Divisor {
 public:
  LOCKSTEP_FORMULA Divisor() : Divisor(1) {}
  LOCKSTEP_FORMULA explicit Divisor(int64_t d) : d_(d) {
    while (shift_ < 31 && (int64_t{1} << shift_) < d) ++shift_;
    const uint64_t over = (uint64_t{1} << shift_) - static_cast<uint64_t>(d);
    if (IsSmall(d)) factor_ = static_cast<uint32_t>((over << 32) / static_cast<uint64_t>(d) + 1);
  }

  LOCKSTEP_FORMULA int64_t value() const { return d_; }
  LOCKSTEP_FORMULA int64_t Quotient(int64_t n) const {
    if (!IsSmall(n | d_)) return n / d_;
    const uint64_t small = static_cast<uint64_t>(n);
    return static_cast<int64_t>((((small * factor_) >> 32) + small) >> shift_);
  }
  // The quotient; *remainder = what is left.
  LOCKSTEP_FORMULA int64_t Divide(int64_t n, int64_t* remainder) const {
    const int64_t quotient = Quotient(n);
    *remainder = n - quotient * d_;
    return quotient;
  }

 private:
  LOCKSTEP_FORMULA static bool IsSmall(int64_t n) { return (n >> 31) == 0; }

  int64_t d_;
  uint32_t factor_ = 0;
  uint32_t shift_ = 0;
};

}  // namespace lockstep::math

#endif  // LOCKSTEP_KERNELS_MATH_DIVISOR_H_
