#include "kernels/cpu/isa/families.h"
#include "kernels/cpu/isa/vec.h"
#include "kernels/math/optimizer_rules.h"

namespace lockstep::cpu::LOCKSTEP_ISA {
namespace {

template <typename T, typename Rule>
void Apply(const UpdateArgs& args, const UpdateNumbers& numbers, int64_t size, T* __restrict p,
           const T* __restrict g, T* __restrict s0, T* __restrict s1) {
  const Rule rule(args, numbers);
  const T grad_scale = static_cast<T>(numbers.grad_scale);
  const T weight_decay = static_cast<T>(args.weight_decay);
  for (int64_t i = 0; i < size; ++i) {
    T none = 0;
    const T gradient = math::DecayedGradient(grad_scale, g[i], weight_decay, p[i]);
    if constexpr (Rule::kStates == 0) rule(gradient, p[i], none, none);
    if constexpr (Rule::kStates == 1) rule(gradient, p[i], s0[i], none);
    if constexpr (Rule::kStates == 2) rule(gradient, p[i], s0[i], s1[i]);
  }
}

template <typename T>
void Update(const UpdateArgs& args, const UpdateNumbers& numbers, int64_t size, T* p, const T* g,
            T* s0, T* s1) {
  switch (args.rule) {
    case UpdateRule::kSgd:
      return Apply<T, math::SgdRule<T>>(args, numbers, size, p, g, s0, s1);
    case UpdateRule::kMomentum:
      return Apply<T, math::MomentumRule<T>>(args, numbers, size, p, g, s0, s1);
    case UpdateRule::kNesterovChainer:
    case UpdateRule::kNesterov:
      return Apply<T, math::NesterovRule<T>>(args, numbers, size, p, g, s0, s1);
    case UpdateRule::kAdam:
      return Apply<T, math::AdamRule<T>>(args, numbers, size, p, g, s0, s1);
    case UpdateRule::kRmsProp:
      return Apply<T, math::RmsPropRule<T>>(args, numbers, size, p, g, s0, s1);
    case UpdateRule::kAdaGrad:
      return Apply<T, math::AdaGradRule<T>>(args, numbers, size, p, g, s0, s1);
    case UpdateRule::kAdaDelta:
      return Apply<T, math::AdaDeltaRule<T>>(args, numbers, size, p, g, s0, s1);
  }
}

}  // namespace

void GetOptimizer(OptimizerLoops<float>* f32, OptimizerLoops<double>* f64) {
  *f32 = {Update<float>};
  *f64 = {Update<double>};
}

}  // namespace lockstep::cpu::LOCKSTEP_ISA
