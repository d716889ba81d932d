#ifndef LOCKSTEP_KERNELS_CPU_POOL_H_
#define LOCKSTEP_KERNELS_CPU_POOL_H_

#include "kernels/cpu/dispatch.h"
#include "kernels/pool.h"

namespace lockstep::cpu {

class CpuPool : public PoolKernels {
 public:
  // `isa` must outlive this.
  explicit CpuPool(const IsaTable* isa) : isa_(isa) {}

  void Forward(const PoolShape& shape, const void* x, void* y) override;
  void Backward(const PoolShape& shape, const void* x, const void* y, const void* dy,
                void* dx) override;

 private:
  const IsaTable* isa_;
};

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_POOL_H_
