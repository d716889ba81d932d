// Maps over elements as a GPU runs them: Run<N>(i) does elements i .. i + N - 1, N = 1 or a pack.
#ifndef LOCKSTEP_KERNELS_MATH_MAPS_H_
#define LOCKSTEP_KERNELS_MATH_MAPS_H_

#include <cstdint>

#include "kernels/math/half.h"
#include "kernels/math/host_device.h"
#include "kernels/math/optimizer_rules.h"
#include "kernels/math/pack.h"

namespace lockstep::math {

// y = rule(x); rules compute in Accumulator<T>.
template <typename T, typename Rule>
struct UnaryMap {
  using Element = T;
  Rule rule;
  const T* x;
  T* y;

  LOCKSTEP_FORMULA bool IsAligned() const { return ArePackAligned(x, y); }
  template <int N>
  LOCKSTEP_FORMULA void Run(int64_t i) const {
    Pack<T, N> out = LoadPack<N>(x + i);
    for (int k = 0; k < N; ++k) out.v[k] = T(rule(Accumulator<T>(out.v[k])));
    StorePack(y + i, out);
  }
};

// y = rule(a, b).
template <typename T, typename Rule>
struct BinaryMap {
  using Element = T;
  Rule rule;
  const T* a;
  const T* b;
  T* y;

  LOCKSTEP_FORMULA bool IsAligned() const { return ArePackAligned(a, b, y); }
  template <int N>
  LOCKSTEP_FORMULA void Run(int64_t i) const {
    const Pack<T, N> left = LoadPack<N>(a + i);
    const Pack<T, N> right = LoadPack<N>(b + i);
    Pack<T, N> out;
    for (int k = 0; k < N; ++k) {
      out.v[k] = T(rule(Accumulator<T>(left.v[k]), Accumulator<T>(right.v[k])));
    }
    StorePack(y + i, out);
  }
};

// y = x in another format; one of the two is float.
template <typename From, typename To>
struct CastMap {
  using Element = float;
  const From* x;
  To* y;

  LOCKSTEP_FORMULA bool IsAligned() const { return ArePackAligned(x, y); }
  template <int N>
  LOCKSTEP_FORMULA void Run(int64_t i) const {
    const Pack<From, N> in = LoadPack<N>(x + i);
    Pack<To, N> out;
    for (int k = 0; k < N; ++k) out.v[k] = To(in.v[k]);
    StorePack(y + i, out);
  }
};

// ElementwiseKernels::CastWithFeedback.
template <typename To>
struct CastWithFeedbackMap {
  using Element = float;
  const float* x;
  float* residual;
  To* y;

  LOCKSTEP_FORMULA bool IsAligned() const {
    return ArePackAligned(x, residual) && ArePackAligned(x, y);
  }
  template <int N>
  LOCKSTEP_FORMULA void Run(int64_t i) const {
    const Pack<float, N> in = LoadPack<N>(x + i), kept = LoadPack<N>(residual + i);
    Pack<To, N> out;
    Pack<float, N> lost;
    for (int k = 0; k < N; ++k) {
      const float value = in.v[k] + kept.v[k];
      out.v[k] = To(value);
      const float rest = value - float(out.v[k]);
      lost.v[k] = rest - rest == 0.0F ? rest : 0.0F;  // finite
    }
    StorePack(residual + i, lost);
    StorePack(y + i, out);
  }
};

template <typename T>
struct AddRule {
  LOCKSTEP_FORMULA T operator()(T a, T b) const { return a + b; }
};

template <typename T>
struct ScaleRule {
  T scale;
  LOCKSTEP_FORMULA T operator()(T x) const { return scale * x; }
};

template <typename T>
struct ScaleByRule {
  const double* scale;
  LOCKSTEP_FORMULA T operator()(T x) const { return static_cast<T>(*scale) * x; }
};

// The two directions of a rule of kernels/math/activation.h.
template <typename T, typename Rule>
struct ForwardRule {
  Rule rule;
  LOCKSTEP_FORMULA T operator()(T x) const { return rule.Forward(x); }
};
template <typename T, typename Rule>
struct BackwardRule {
  Rule rule;
  LOCKSTEP_FORMULA T operator()(T y, T dy) const { return rule.Backward(y, dy); }
};

// An optimizer's update by a rule of kernels/math/optimizer_rules.h.
template <typename T, typename Rule>
struct UpdateMap {
  using Element = T;
  UpdateArgs args;
  const UpdateNumbers* numbers;
  T* p;
  const T* g;
  T* s0;
  T* s1;

  LOCKSTEP_FORMULA bool IsAligned() const {
    return ArePackAligned(p, g) && (Rule::kStates < 1 || ArePackAligned(s0)) &&
           (Rule::kStates < 2 || ArePackAligned(s1));
  }
  template <int N>
  LOCKSTEP_FORMULA void Run(int64_t i) const {
    if (numbers->skipped != 0) return;
    const Rule rule(args, *numbers);
    const T grad_scale = static_cast<T>(numbers->grad_scale);
    const T weight_decay = static_cast<T>(args.weight_decay);
    const Pack<T, N> gradient = LoadPack<N>(g + i);
    Pack<T, N> weight = LoadPack<N>(p + i);
    Pack<T, N> first = {}, second = {};
    if constexpr (Rule::kStates >= 1) first = LoadPack<N>(s0 + i);
    if constexpr (Rule::kStates >= 2) second = LoadPack<N>(s1 + i);
    for (int k = 0; k < N; ++k) {
      const T decayed = DecayedGradient(grad_scale, gradient.v[k], weight_decay, weight.v[k]);
      rule(decayed, weight.v[k], first.v[k], second.v[k]);
    }
    StorePack(p + i, weight);
    if constexpr (Rule::kStates >= 1) StorePack(s0 + i, first);
    if constexpr (Rule::kStates >= 2) StorePack(s1 + i, second);
  }
};

struct NoteStepMap {
  const LossSums* sums;
  StepLog* log;
  UpdateNumbers* numbers;
  LOCKSTEP_FORMULA void operator()(int64_t) const { NoteStepSums(*sums, log, numbers); }
};

struct FollowOverflowMap {
  LossScaling rule;
  UpdateNumbers* numbers;
  LossScale* scale;
  LOCKSTEP_FORMULA void operator()(int64_t) const { FollowOverflowOf(rule, numbers, scale); }
};

struct PrepareUpdateMap {
  double clipping;
  UpdateNumbers* numbers;
  LOCKSTEP_FORMULA void operator()(int64_t) const { PrepareUpdate(clipping, numbers); }
};

}  // namespace lockstep::math

#endif  // LOCKSTEP_KERNELS_MATH_MAPS_H_
