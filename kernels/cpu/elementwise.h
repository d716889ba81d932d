#ifndef LOCKSTEP_KERNELS_CPU_ELEMENTWISE_H_
#define LOCKSTEP_KERNELS_CPU_ELEMENTWISE_H_

#include "kernels/cpu/dispatch.h"
#include "kernels/elementwise.h"

namespace lockstep::cpu {

class CpuElementwise : public ElementwiseKernels {
 public:
  // `isa` must outlive this.
  explicit CpuElementwise(const IsaTable* isa) : isa_(isa) {}

  void ActivationForward(DType dtype, Activation f, double slope, int64_t size, const void* x,
                         void* y) override;
  void ActivationBackward(DType dtype, Activation f, double slope, int64_t size, const void* y,
                          const void* dy, void* dx) override;
  void Add(DType dtype, int64_t size, const void* a, const void* b, void* y) override;
  void Scale(DType dtype, double scale, int64_t size, const void* x, void* y) override;
  void ScaleBy(DType dtype, const double* scale, int64_t size, const void* x, void* y) override;
  void Cast(DType from, DType to, int64_t size, const void* x, void* y) override;
  void CastWithFeedback(DType to, int64_t size, const void* x, void* residual, void* y) override;
  void CopyIf(const int64_t* condition, size_t bytes, const void* from, void* to) override;
  void Reorder(DType dtype, const PictureShape& shape, Layout from, Layout to, const void* x,
               void* y) override;
  void CopyChannels(DType dtype, const PictureShape& x_shape, Layout x_layout, int64_t x_offset,
                    const void* x, const PictureShape& y_shape, Layout y_layout, int64_t y_offset,
                    int64_t channels, void* y) override;

 private:
  const IsaTable* isa_;
};

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_ELEMENTWISE_H_
