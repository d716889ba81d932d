#include "kernels/cpu/isa/families.h"
#include "kernels/cpu/isa/vec.h"
#include "kernels/math/optimizer_rules.h"

namespace lockstep::cpu::LOCKSTEP_ISA {
namespace {

// Elements that are always computed together, so that no element is left to a loop for the rest
// that rounds otherwise, however an array is cut.
constexpr int64_t kUnit = 32;

template <typename T>
struct Arrays {
  T* p;
  const T* g;
  T *s0, *s1;  // null where the rule has none
};

template <typename T>
void CopyElements(const T* from, int64_t size, T* to) {
  for (int64_t i = 0; i < size; ++i) to[i] = from[i];
}

// What is left of a row, behind its units.
template <typename T>
struct Rest {
  T p[kUnit] = {}, g[kUnit] = {}, s0[kUnit] = {}, s1[kUnit] = {};

  template <int kStates>
  Arrays<T> Load(const Arrays<T>& from, int64_t size) {
    CopyElements(from.p, size, p);
    CopyElements(from.g, size, g);
    if constexpr (kStates > 0) CopyElements(from.s0, size, s0);
    if constexpr (kStates > 1) CopyElements(from.s1, size, s1);
    return {p, g, s0, s1};
  }
  template <int kStates>
  void Store(const Arrays<T>& to, int64_t size) const {
    CopyElements(p, size, to.p);
    if constexpr (kStates > 0) CopyElements(s0, size, to.s0);
    if constexpr (kStates > 1) CopyElements(s1, size, to.s1);
  }
};

template <int kStates, typename T>
Arrays<T> At(const Arrays<T>& arrays, int64_t i) {
  return {arrays.p + i, arrays.g + i, kStates > 0 ? arrays.s0 + i : nullptr,
          kStates > 1 ? arrays.s1 + i : nullptr};
}

// One function: the same instructions for whole units and for what is left.
template <typename T, typename Rule>
LOCKSTEP_ONE_FUNCTION void ApplyUnits(const Rule& rule_there, T grad_scale, T weight_decay,
                                      int64_t size, const Arrays<T>& arrays) {
  const Rule rule = rule_there;  // in registers: stores could change it there
  T* const p = arrays.p;
  const T* const g = arrays.g;
  T *const s0 = arrays.s0, *const s1 = arrays.s1;
  const int64_t units = size / kUnit * kUnit;
  LOCKSTEP_INDEPENDENT
  for (int64_t i = 0; i < units; ++i) {
    T none = 0;
    const T gradient = math::DecayedGradient(grad_scale, g[i], weight_decay, p[i]);
    if constexpr (Rule::kStates == 0) rule(gradient, p[i], none, none);
    if constexpr (Rule::kStates == 1) rule(gradient, p[i], s0[i], none);
    if constexpr (Rule::kStates == 2) rule(gradient, p[i], s0[i], s1[i]);
  }
}

template <typename T, typename Rule>
void Apply(const UpdateArgs& args, const UpdateNumbers& numbers, const UpdateBlock& block,
           const Arrays<T>& whole) {
  constexpr int kStates = Rule::kStates;
  const Rule rule(args, numbers);
  const T grad_scale = static_cast<T>(numbers.grad_scale);
  const T weight_decay = static_cast<T>(args.weight_decay);
  const int64_t units = block.columns / kUnit * kUnit, left = block.columns - units;
  for (int64_t row = 0; row < block.rows; ++row) {
    const Arrays<T> arrays = At<kStates>(whole, row * block.stride);
    ApplyUnits(rule, grad_scale, weight_decay, units, arrays);
    if (left == 0) continue;
    const Arrays<T> last = At<kStates>(arrays, units);
    Rest<T> rest;
    ApplyUnits(rule, grad_scale, weight_decay, kUnit, rest.template Load<kStates>(last, left));
    rest.template Store<kStates>(last, left);
  }
}

template <typename T>
void Update(const UpdateArgs& args, const UpdateNumbers& numbers, const UpdateBlock& block, T* p,
            const T* g, T* s0, T* s1) {
  const Arrays<T> arrays{p, g, s0, s1};
  switch (args.rule) {
    case UpdateRule::kSgd:
      return Apply<T, math::SgdRule<T>>(args, numbers, block, arrays);
    case UpdateRule::kMomentum:
      return Apply<T, math::MomentumRule<T>>(args, numbers, block, arrays);
    case UpdateRule::kNesterovChainer:
    case UpdateRule::kNesterov:
      return Apply<T, math::NesterovRule<T>>(args, numbers, block, arrays);
    case UpdateRule::kAdam:
      return Apply<T, math::AdamRule<T>>(args, numbers, block, arrays);
    case UpdateRule::kRmsProp:
      return Apply<T, math::RmsPropRule<T>>(args, numbers, block, arrays);
    case UpdateRule::kAdaGrad:
      return Apply<T, math::AdaGradRule<T>>(args, numbers, block, arrays);
    case UpdateRule::kAdaDelta:
      return Apply<T, math::AdaDeltaRule<T>>(args, numbers, block, arrays);
  }
}

}  // namespace

void GetOptimizer(OptimizerLoops<float>* f32, OptimizerLoops<double>* f64) {
  *f32 = {Update<float>};
  *f64 = {Update<double>};
}

}  // namespace lockstep::cpu::LOCKSTEP_ISA
