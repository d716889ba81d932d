#ifndef LOCKSTEP_KERNELS_CPU_OPTIMIZER_H_
#define LOCKSTEP_KERNELS_CPU_OPTIMIZER_H_

#include "kernels/cpu/dispatch.h"
#include "kernels/optimizer.h"

namespace lockstep::cpu {

class CpuOptimizer final : public OptimizerKernels {
 public:
  // `isa` must outlive this.
  explicit CpuOptimizer(const IsaTable* isa) : isa_(isa) {}

  void NoteStep(const LossSums* sums, StepLog* log, UpdateNumbers* numbers) override;
  void FollowOverflow(const LossScaling& rule, UpdateNumbers* numbers, LossScale* scale) override;
  void Prepare(double clipping, UpdateNumbers* numbers) override;
  void Update(DType dtype, const UpdateArgs& args, const UpdateNumbers* numbers, int64_t size,
              void* p, const void* g, void* s0, void* s1) override;

 private:
  const IsaTable* isa_;
};

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_OPTIMIZER_H_
