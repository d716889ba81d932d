#ifndef LOCKSTEP_KERNELS_CPU_SOFTMAX_H_
#define LOCKSTEP_KERNELS_CPU_SOFTMAX_H_

#include "kernels/cpu/dispatch.h"
#include "kernels/softmax.h"

namespace lockstep::cpu {

class CpuSoftmax final : public SoftmaxKernels {
 public:
  // `isa` must outlive this.
  explicit CpuSoftmax(const IsaTable* isa) : isa_(isa) {}

  void Forward(DType dtype, int64_t rows, int64_t classes, const void* x, void* y) override;
  void Backward(DType dtype, int64_t rows, int64_t classes, const void* y, const void* dy,
                void* dx) override;
  void CrossEntropy(DType dtype, int64_t rows, int64_t classes, const void* x,
                    const int32_t* labels, LossSums* sums, void* loss, void* dx) override;
  void SquaredError(DType dtype, int64_t size, const void* x, const void* target, LossSums* sums,
                    void* loss, void* dx) override;

 private:
  const IsaTable* isa_;
};

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_SOFTMAX_H_
