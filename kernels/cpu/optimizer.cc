#include "kernels/cpu/optimizer.h"

#include "kernels/math/optimizer_rules.h"

namespace lockstep::cpu {

void CpuOptimizer::NoteStep(const LossSums* sums, StepLog* log, UpdateNumbers* numbers) {
  math::NoteStepSums(*sums, log, numbers);
}

void CpuOptimizer::FollowOverflow(const LossScaling& rule, UpdateNumbers* numbers,
                                  LossScale* scale) {
  math::FollowOverflowOf(rule, numbers, scale);
}

void CpuOptimizer::Prepare(double clipping, UpdateNumbers* numbers) {
  math::PrepareUpdate(clipping, numbers);
}

void CpuOptimizer::Update(DType dtype, const UpdateArgs& args, const UpdateNumbers* numbers,
                          int64_t size, void* p, const void* g, void* s0, void* s1) {
  if (numbers->skipped != 0) return;
  WithType(*isa_, dtype, [&](const auto& loops, auto* type) {
    ParallelElements(size, kGrain, [&](int64_t begin, int64_t end) {
      const auto part = [begin](auto* q) { return q == nullptr ? q : q + begin; };
      loops.optimizer.update(args, *numbers, {1, end - begin, 0}, As(p, type) + begin,
                             As(g, type) + begin, part(As(s0, type)), part(As(s1, type)));
    });
  });
}

}  // namespace lockstep::cpu
