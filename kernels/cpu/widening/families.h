// The kernel families of the CPU with 16-bit floats, each made of the one that knows float32.
#ifndef LOCKSTEP_KERNELS_CPU_WIDENING_FAMILIES_H_
#define LOCKSTEP_KERNELS_CPU_WIDENING_FAMILIES_H_

#include "kernels/cpu/elementwise.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/norm.h"
#include "kernels/cpu/pool.h"
#include "kernels/cpu/random.h"
#include "kernels/cpu/reduce.h"
#include "kernels/cpu/widening/widened.h"

namespace lockstep::cpu {

// Float32 copies for kernels that do not know 16 bits; all else is left to Family, which is made of
// `use`.
template <typename Family>
class WideningFamily : public Family {
 public:
  template <typename Use>
  WideningFamily(const Use& use, const WideningTools& tools) : Family(use), tools_(tools) {}

 protected:
  WideningTools tools_;
};

class WideningElementwise final : public WideningFamily<CpuElementwise> {
 public:
  using WideningFamily::WideningFamily;
  void ActivationForward(DType dtype, Activation f, double slope, int64_t size, const void* x,
                         void* y) override;
  void ActivationBackward(DType dtype, Activation f, double slope, int64_t size, const void* y,
                          const void* dy, void* dx) override;
  void Add(DType dtype, int64_t size, const void* a, const void* b, void* y) override;
  void Scale(DType dtype, double scale, int64_t size, const void* x, void* y) override;
  void Reorder(DType dtype, const PictureShape& shape, Layout from, Layout to, const void* x,
               void* y) override;
  void CopyChannels(DType dtype, const PictureShape& x_shape, Layout x_layout, int64_t x_offset,
                    const void* x, const PictureShape& y_shape, Layout y_layout, int64_t y_offset,
                    int64_t channels, void* y) override;
};

class WideningGemm final : public WideningFamily<CpuGemm> {
 public:
  using WideningFamily::WideningFamily;
  void Gemm(DType dtype, const GemmArgs& args) override;
};

class WideningNorm final : public WideningFamily<CpuNorm> {
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
};

class WideningPool final : public WideningFamily<CpuPool> {
 public:
  using WideningFamily::WideningFamily;
  void Forward(const PoolShape& shape, const void* x, void* y) override;
  void Backward(const PoolShape& shape, const void* x, const void* y, const void* dy,
                void* dx) override;
};

class WideningRandom final : public WideningFamily<CpuRandom> {
 public:
  using WideningFamily::WideningFamily;
  void DropoutForward(DType dtype, const PictureShape& shape, Layout layout,
                      const DropoutArgs& args, const void* x, void* y) override;
};

class WideningReduce final : public WideningFamily<CpuReduce> {
 public:
  using WideningFamily::WideningFamily;
  void ChannelSums(DType dtype, const PictureShape& shape, Layout layout, const void* x,
                   void* y) override;
};

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_WIDENING_FAMILIES_H_
