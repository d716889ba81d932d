// The update rules of kernels/optimizer.h for one element. Sources: Chainer 7's
// chainer/optimizers/*.py, run in the parameter's own precision; kNesterov is Keras' and MXNet's.
// Hyperparameters are computed in double and rounded to T once.
#ifndef LOCKSTEP_KERNELS_MATH_OPTIMIZER_RULES_H_
#define LOCKSTEP_KERNELS_MATH_OPTIMIZER_RULES_H_

#include "kernels/math/fixed_point.h"
#include "kernels/math/host_device.h"
#include "kernels/math/square_root.h"
#include "kernels/optimizer.h"

namespace lockstep::math {

// OptimizerKernels::NoteStep.
LOCKSTEP_FORMULA void NoteStepSums(const LossSums& sums, StepLog* log, UpdateNumbers* numbers) {
  if (log->failed == 0) {
    log->sums[log->steps++] = sums;
    log->failed = sums.count > 0 && Magnitude(sums.loss) < Bits<double>::kInfinity ? 0 : 1;
  }
  numbers->count = sums.count;
  numbers->skipped = log->failed;
}

// OptimizerKernels::FollowOverflow.
LOCKSTEP_FORMULA void FollowOverflowOf(const LossScaling& rule, UpdateNumbers* numbers,
                                       LossScale* state) {
  constexpr double kLargest = 3.4e38;  // times gradients of float32
  numbers->loss_scale = state->scale;
  if (numbers->skipped != 0) return;
  if (!(Magnitude(numbers->squares) < Bits<double>::kInfinity)) {
    numbers->skipped = 1;
    state->scale *= rule.backoff;
    state->good_steps = 0;
    ++state->overflows;
    return;
  }
  if (++state->good_steps < rule.growth_interval) return;
  state->good_steps = 0;
  if (state->scale * rule.growth <= kLargest) state->scale *= rule.growth;
}

// OptimizerKernels::Prepare.
LOCKSTEP_FORMULA void PrepareUpdate(double clipping, UpdateNumbers* numbers) {
  const double scale = 1.0 / (static_cast<double>(numbers->count) * numbers->loss_scale);
  const double norm = clipping > 0.0 ? SquareRoot(numbers->squares) * scale : 0.0;
  numbers->grad_scale = norm > clipping ? scale * (clipping / norm) : scale;
}

// The gradient that every rule takes.
template <typename T>
LOCKSTEP_FORMULA T DecayedGradient(T grad_scale, T g, T weight_decay, T p) {
  return grad_scale * g + weight_decay * p;
}

// Every rule, made of what an update has: (g, p, s0, s1), the last three in and out; kStates says
// which of them exist.

template <typename T>
struct SgdRule {
  static constexpr int kStates = 0;
  T lr;
  LOCKSTEP_FORMULA SgdRule(const UpdateArgs&, const UpdateNumbers& n) : lr(static_cast<T>(n.lr)) {}
  LOCKSTEP_FORMULA void operator()(T g, T& p, T&, T&) const { p -= lr * g; }
};

template <typename T>
struct MomentumRule {
  static constexpr int kStates = 1;
  T lr, momentum;
  LOCKSTEP_FORMULA MomentumRule(const UpdateArgs& a, const UpdateNumbers& n)
      : lr(static_cast<T>(n.lr)), momentum(static_cast<T>(a.momentum)) {}
  LOCKSTEP_FORMULA void operator()(T g, T& p, T& v, T&) const {
    v = momentum * v - lr * g;
    p += v;
  }
};

// Both Nesterov forms: p += velocity_factor * v - gradient_factor * g with the new v.
template <typename T>
struct NesterovRule {
  static constexpr int kStates = 1;
  T lr, momentum, velocity_factor, gradient_factor;
  LOCKSTEP_FORMULA NesterovRule(const UpdateArgs& a, const UpdateNumbers& n)
      : lr(static_cast<T>(n.lr)),
        momentum(static_cast<T>(a.momentum)),
        velocity_factor(static_cast<T>(
            a.rule == UpdateRule::kNesterovChainer ? a.momentum * a.momentum : a.momentum)),
        gradient_factor(static_cast<T>(
            a.rule == UpdateRule::kNesterovChainer ? (1.0 + a.momentum) * n.lr : n.lr)) {}
  LOCKSTEP_FORMULA void operator()(T g, T& p, T& v, T&) const {
    v = momentum * v - lr * g;
    p += velocity_factor * v - gradient_factor * g;
  }
};

template <typename T>
struct AdamRule {
  static constexpr int kStates = 2;
  T one_minus_beta1, one_minus_beta2, step, eps, keep;
  LOCKSTEP_FORMULA AdamRule(const UpdateArgs& a, const UpdateNumbers& n)
      : one_minus_beta1(static_cast<T>(1.0 - a.beta1)),
        one_minus_beta2(static_cast<T>(1.0 - a.beta2)),
        step(static_cast<T>(a.eta * n.lr)),
        eps(static_cast<T>(a.eps)),
        keep(static_cast<T>(1.0 - a.eta * a.decoupled_decay)) {}
  LOCKSTEP_FORMULA void operator()(T g, T& p, T& m, T& v) const {
    m += one_minus_beta1 * (g - m);
    v += one_minus_beta2 * (g * g - v);
    p = keep * p - step * m / (SquareRoot(v) + eps);
  }
};

template <typename T>
struct RmsPropRule {
  static constexpr int kStates = 1;
  T lr, rho, one_minus_rho, eps;
  LOCKSTEP_FORMULA RmsPropRule(const UpdateArgs& a, const UpdateNumbers& n)
      : lr(static_cast<T>(n.lr)),
        rho(static_cast<T>(a.rho)),
        one_minus_rho(static_cast<T>(1.0 - a.rho)),
        eps(static_cast<T>(a.eps)) {}
  LOCKSTEP_FORMULA void operator()(T g, T& p, T& ms, T&) const {
    ms = rho * ms + one_minus_rho * g * g;
    p -= lr * g / (SquareRoot(ms) + eps);
  }
};

template <typename T>
struct AdaGradRule {
  static constexpr int kStates = 1;
  T lr, eps;
  LOCKSTEP_FORMULA AdaGradRule(const UpdateArgs& a, const UpdateNumbers& n)
      : lr(static_cast<T>(n.lr)), eps(static_cast<T>(a.eps)) {}
  LOCKSTEP_FORMULA void operator()(T g, T& p, T& h, T&) const {
    h += g * g;
    p -= lr * g / (SquareRoot(h) + eps);
  }
};

template <typename T>
struct AdaDeltaRule {
  static constexpr int kStates = 2;
  T rho, one_minus_rho, eps;
  LOCKSTEP_FORMULA AdaDeltaRule(const UpdateArgs& a, const UpdateNumbers&)
      : rho(static_cast<T>(a.rho)),
        one_minus_rho(static_cast<T>(1.0 - a.rho)),
        eps(static_cast<T>(a.eps)) {}
  LOCKSTEP_FORMULA void operator()(T g, T& p, T& msg, T& msdx) const {
    msg = rho * msg + one_minus_rho * g * g;
    const T dx = SquareRoot((msdx + eps) / (msg + eps)) * g;
    msdx = rho * msdx + one_minus_rho * dx * dx;
    p -= dx;
  }
};

}  // namespace lockstep::math

#endif  // LOCKSTEP_KERNELS_MATH_OPTIMIZER_RULES_H_
