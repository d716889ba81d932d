// The kernel families of the CPU with 16-bit floats, each on top of the one that knows float32.
#ifndef LOCKSTEP_KERNELS_CPU_WIDENING_FAMILIES_H_
#define LOCKSTEP_KERNELS_CPU_WIDENING_FAMILIES_H_

#include "kernels/cpu/widening/widened.h"
#include "kernels/elementwise.h"
#include "kernels/gemm.h"
#include "kernels/norm.h"
#include "kernels/pool.h"
#include "kernels/random.h"
#include "kernels/reduce.h"

namespace lockstep::cpu {

// Leaves other dtypes to `base`, which must outlive this.
template <typename Family>
class WideningFamily : public Family {
 public:
  WideningFamily(Family* base, const WideningTools& tools) : base_(*base), tools_(tools) {}

 protected:
  Family& base_;
  WideningTools tools_;
};

class WideningElementwise final : public WideningFamily<ElementwiseKernels> {
 public:
  using WideningFamily::WideningFamily;
  void ActivationForward(DType dtype, Activation f, double slope, int64_t size, const void* x,
                         void* y) override;
  void ActivationBackward(DType dtype, Activation f, double slope, int64_t size, const void* y,
                          const void* dy, void* dx) override;
  void Add(DType dtype, int64_t size, const void* a, const void* b, void* y) override;
  void Scale(DType dtype, double scale, int64_t size, const void* x, void* y) override;
  void ScaleBy(DType dtype, const double* scale, int64_t size, const void* x, void* y) override;
  void Cast(DType from, DType to, int64_t size, const void* x, void* y) override;
  void CopyIf(const int64_t* condition, size_t bytes, const void* from, void* to) override;
  void Reorder(DType dtype, const PictureShape& shape, Layout from, Layout to, const void* x,
               void* y) override;
  void CopyChannels(DType dtype, const PictureShape& x_shape, Layout x_layout, int64_t x_offset,
                    const void* x, const PictureShape& y_shape, Layout y_layout, int64_t y_offset,
                    int64_t channels, void* y) override;
};

class WideningGemm final : public WideningFamily<GemmKernels> {
 public:
  using WideningFamily::WideningFamily;
  void Gemm(DType dtype, const GemmArgs& args) override;
};

class WideningNorm final : public WideningFamily<NormKernels> {
 public:
  using WideningFamily::WideningFamily;
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
};

class WideningPool final : public WideningFamily<PoolKernels> {
 public:
  using WideningFamily::WideningFamily;
  void Forward(const PoolShape& shape, const void* x, void* y) override;
  void Backward(const PoolShape& shape, const void* x, const void* y, const void* dy,
                void* dx) override;
};

class WideningRandom final : public WideningFamily<RandomKernels> {
 public:
  using WideningFamily::WideningFamily;
  void DropoutForward(DType dtype, const PictureShape& shape, Layout layout,
                      const DropoutArgs& args, const void* x, void* y) override;
  void DropoutBackward(DType dtype, const PictureShape& shape, Layout layout,
                       const DropoutArgs& args, const void* dy, void* dx) override;
  void FillNormal(DType dtype, uint64_t key, double mean, double stddev, int64_t size,
                  void* x) override;
  void FillUniform(DType dtype, uint64_t key, double low, double high, int64_t size,
                   void* x) override;
};

class WideningReduce final : public WideningFamily<ReduceKernels> {
 public:
  using WideningFamily::WideningFamily;
  void AddSquares(DType dtype, int64_t size, const void* x, double* sum) override;
  void ChannelSums(DType dtype, const PictureShape& shape, Layout layout, const void* x,
                   void* y) override;
  int64_t FirstNonFinite(DType dtype, int64_t size, const void* x) override;
  double LargestMagnitude(DType dtype, int64_t size, const void* x) override;
  void ToFixedPoint(DType dtype, int64_t size, const void* x, double scale, bool accumulate,
                    int64_t* sums) override;
  void FromFixedPoint(DType dtype, int64_t size, const int64_t* sums, double scale,
                      void* y) override;
};

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_WIDENING_FAMILIES_H_
