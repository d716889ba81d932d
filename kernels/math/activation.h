// Activation functions and their derivatives, written in terms of the output.
#ifndef LOCKSTEP_KERNELS_MATH_ACTIVATION_H_
#define LOCKSTEP_KERNELS_MATH_ACTIVATION_H_

#include "kernels/math/host_device.h"
#include "kernels/math/transcendental.h"

namespace lockstep::math {

struct IdentityRule {
  template <typename T>
  LOCKSTEP_FORMULA T Forward(T x) const {
    return x;
  }
  template <typename T>
  LOCKSTEP_FORMULA T Backward(T, T dy) const {
    return dy;
  }
};

// A NaN passes.
struct ReluRule {
  template <typename T>
  LOCKSTEP_FORMULA T Forward(T x) const {
    return x < T(0) ? T(0) : x;
  }
  template <typename T>
  LOCKSTEP_FORMULA T Backward(T y, T dy) const {
    return y > T(0) ? dy : T(0);
  }
};

template <typename T>
struct LeakyReluRule {
  T slope;
  LOCKSTEP_FORMULA T Forward(T x) const { return x < T(0) ? slope * x : x; }
  LOCKSTEP_FORMULA T Backward(T y, T dy) const { return y < T(0) ? slope * dy : dy; }
};

struct SigmoidRule {
  template <typename T>
  LOCKSTEP_FORMULA T Forward(T x) const {
    return Sigmoid(x);
  }
  template <typename T>
  LOCKSTEP_FORMULA T Backward(T y, T dy) const {
    return dy * y * (T(1) - y);
  }
};

struct TanhRule {
  template <typename T>
  LOCKSTEP_FORMULA T Forward(T x) const {
    return Tanh(x);
  }
  template <typename T>
  LOCKSTEP_FORMULA T Backward(T y, T dy) const {
    return dy * (T(1) - y * y);
  }
};

}  // namespace lockstep::math

#endif  // LOCKSTEP_KERNELS_MATH_ACTIVATION_H_
