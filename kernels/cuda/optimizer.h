#ifndef LOCKSTEP_KERNELS_CUDA_OPTIMIZER_H_
#define LOCKSTEP_KERNELS_CUDA_OPTIMIZER_H_

#include <type_traits>

#include "kernels/cuda/dispatch.h"
#include "kernels/math/maps.h"
#include "kernels/math/optimizer_rules.h"
#include "kernels/optimizer.h"

namespace lockstep::cuda {

template <typename Stream>
class CudaOptimizer final : public OptimizerKernels {
 public:
  // `stream` must outlive this.
  explicit CudaOptimizer(Stream* stream) : stream_(stream) {}

  void Update(DType dtype, const UpdateArgs& args, int64_t size, void* p, const void* g, void* s0,
              void* s1) override {
    WithType(dtype, [&](auto t) {
      using T = decltype(t);
      const auto apply = [&](const auto& rule) {
        using Rule = std::decay_t<decltype(rule)>;
        stream_->ForPacks("optimizer update", size,
                          math::UpdateMap<T, Rule>{rule, static_cast<T>(args.grad_scale),
                                                   static_cast<T>(args.weight_decay), As(p, t),
                                                   As(g, t), As(s0, t), As(s1, t)});
      };
      switch (args.rule) {
        case UpdateRule::kSgd:
          return apply(math::SgdRule<T>(args));
        case UpdateRule::kMomentum:
          return apply(math::MomentumRule<T>(args));
        case UpdateRule::kNesterovChainer:
        case UpdateRule::kNesterov:
          return apply(math::NesterovRule<T>(args));
        case UpdateRule::kAdam:
          return apply(math::AdamRule<T>(args));
        case UpdateRule::kRmsProp:
          return apply(math::RmsPropRule<T>(args));
        case UpdateRule::kAdaGrad:
          return apply(math::AdaGradRule<T>(args));
        case UpdateRule::kAdaDelta:
          return apply(math::AdaDeltaRule<T>(args));
      }
    });
  }

 private:
  Stream* stream_;
};

}  // namespace lockstep::cuda

#endif  // LOCKSTEP_KERNELS_CUDA_OPTIMIZER_H_
