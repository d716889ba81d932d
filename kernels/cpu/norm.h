#ifndef LOCKSTEP_KERNELS_CPU_NORM_H_
#define LOCKSTEP_KERNELS_CPU_NORM_H_

#include "kernels/cpu/dispatch.h"
#include "kernels/cpu/pooled_norm.h"
#include "kernels/norm.h"

namespace lockstep::cpu {

class CpuNorm : public NormKernels {
 public:
  // `isa` must outlive this.
  explicit CpuNorm(const IsaTable* isa) : isa_(isa), pooled_(isa) {}

  void Moments(const BatchNormShape& shape, const void* x, double* mean, double* m2) override;
  void Normalize(const BatchNormShape& shape, const void* x, const double* mean,
                 const double* inv_std, const void* gamma, const void* beta, void* y) override;
  void GradientSums(const BatchNormShape& shape, const void* x, const void* y, const void* dy,
                    const double* mean, const double* inv_std, double* sum_dz,
                    double* sum_dz_xhat) override;
  void GradientApply(const BatchNormShape& shape, const void* x, const void* y, const void* dy,
                     const double* mean, const double* inv_std, const void* gamma,
                     const double* sum_dz, const double* sum_dz_xhat, const double* m,
                     void* dx) override;
  void FinishMoments(const MomentsUse& use, const double* batch_mean, const double* m2,
                     void* running_mean, void* running_variance, double* mean,
                     double* inv_std) override;
  void FinishGradientSums(DType dtype, int64_t channels, double count, const double* batch_dz,
                          const double* batch_dz_xhat, double* sum_dz, double* sum_dz_xhat,
                          double* m, void* dgamma, void* dbeta) override;
  void LoadRunning(DType dtype, int64_t channels, double eps, const void* running_mean,
                   const void* running_variance, double* mean, double* inv_std) override;
  void FoldIntoWeights(DType dtype, int64_t channels, int64_t row, double eps,
                       const NormParameters& norm, const void* w, const void* bias, void* folded_w,
                       void* folded_bias) override;
  PooledNormKernels* pooled() override { return &pooled_; }

 private:
  const IsaTable* isa_;
  CpuPooledNorm pooled_;
};

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_NORM_H_
