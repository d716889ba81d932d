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

  void NoteStep(const LossSums* sums, StepLog* log, UpdateNumbers* numbers) override {
    stream_->ForEach("note of a step", 1, math::NoteStepMap{sums, log, numbers});
  }

  void FollowOverflow(const LossScaling& rule, UpdateNumbers* numbers, LossScale* scale) override {
    stream_->ForEach("loss scale", 1, math::FollowOverflowMap{rule, numbers, scale});
  }

  void Prepare(double clipping, UpdateNumbers* numbers) override {
    stream_->ForEach("numbers of an update", 1, math::PrepareUpdateMap{clipping, numbers});
  }

  void Update(DType dtype, const UpdateArgs& args, const UpdateNumbers* numbers, int64_t size,
              void* p, const void* g, void* s0, void* s1) override {
    WithType(dtype, [&](auto t) {
      using T = decltype(t);
      const auto apply = [&]<typename Rule>(std::type_identity<Rule>) {
        stream_->ForPacks(
            "optimizer update", size,
            math::UpdateMap<T, Rule>{args, numbers, As(p, t), As(g, t), As(s0, t), As(s1, t)});
      };
      switch (args.rule) {
        case UpdateRule::kSgd:
          return apply(std::type_identity<math::SgdRule<T>>());
        case UpdateRule::kMomentum:
          return apply(std::type_identity<math::MomentumRule<T>>());
        case UpdateRule::kNesterovChainer:
        case UpdateRule::kNesterov:
          return apply(std::type_identity<math::NesterovRule<T>>());
        case UpdateRule::kAdam:
          return apply(std::type_identity<math::AdamRule<T>>());
        case UpdateRule::kRmsProp:
          return apply(std::type_identity<math::RmsPropRule<T>>());
        case UpdateRule::kAdaGrad:
          return apply(std::type_identity<math::AdaGradRule<T>>());
        case UpdateRule::kAdaDelta:
          return apply(std::type_identity<math::AdaDeltaRule<T>>());
      }
    });
  }

 private:
  Stream* stream_;
};

}  // namespace lockstep::cuda

#endif  // LOCKSTEP_KERNELS_CUDA_OPTIMIZER_H_
