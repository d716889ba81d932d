#ifndef LOCKSTEP_KERNELS_CPU_POOLED_NORM_H_
#define LOCKSTEP_KERNELS_CPU_POOLED_NORM_H_

#include "kernels/cpu/dispatch.h"
#include "kernels/norm.h"
#include "kernels/pooled_norm.h"

namespace lockstep::cpu {

class CpuPooledNorm final : public PooledNormKernels {
 public:
  // `isa` must outlive this.
  explicit CpuPooledNorm(const IsaTable* isa) : isa_(isa) {}

  void Normalize(const BatchNormShape& shape, const void* x, const double* mean,
                 const double* inv_std, const void* gamma, const void* beta, void* y) override;
  void GradientSums(const BatchNormShape& shape, const void* x, const void* y, const void* dy,
                    const double* mean, const double* inv_std, const void* gamma, double* sum_dz,
                    double* sum_dz_xhat) override;
  void GradientApply(const BatchNormShape& shape, const void* x, const void* y, const void* dy,
                     const double* mean, const double* inv_std, const void* gamma,
                     const double* sum_dz, const double* sum_dz_xhat, const double* m,
                     void* dx) override;

 private:
  const IsaTable* isa_;
};

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_POOLED_NORM_H_
