#ifndef LOCKSTEP_KERNELS_CPU_NORM_H_
#define LOCKSTEP_KERNELS_CPU_NORM_H_

#include "kernels/cpu/dispatch.h"
#include "kernels/norm.h"

namespace lockstep::cpu {

class CpuNorm final : public NormKernels {
 public:
  // `isa` must outlive this.
  explicit CpuNorm(const IsaTable* isa) : isa_(isa) {}

  void Moments(const BatchNormShape& shape, const void* x, double* mean, double* m2) override;
  void Normalize(const BatchNormShape& shape, const void* x, const double* mean,
                 const double* inv_std, const void* gamma, const void* beta, void* y) override;
  void GradientSums(const BatchNormShape& shape, const void* x, const void* y, const void* dy,
                    const double* mean, const double* inv_std, double* sum_dz,
                    double* sum_dz_xhat) override;
  void GradientApply(const BatchNormShape& shape, const void* x, const void* y, const void* dy,
                     const double* mean, const double* inv_std, const void* gamma,
                     const double* sum_dz, const double* sum_dz_xhat, double m, void* dx) override;

 private:
  const IsaTable* isa_;
};

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_NORM_H_
