// Convolutions of 16-bit floats by those of float32 (kernels/cpu/widening/widened.h).
#ifndef LOCKSTEP_KERNELS_CPU_WIDENING_CONV_H_
#define LOCKSTEP_KERNELS_CPU_WIDENING_CONV_H_

#include <memory>
#include <string>
#include <vector>

#include "kernels/conv.h"
#include "kernels/elementwise.h"

namespace lockstep::cpu {

// The algorithms and layouts are those of float32; copies of pictures lie in the kernel's scratch
// memory, the weights' behind what is prepared of them.
class WideningConv final : public ConvKernels {
 public:
  // Both must outlive this and every kernel made by it.
  WideningConv(ConvKernels* base, ElementwiseKernels* elementwise)
      : base_(*base), elementwise_(*elementwise) {}

  std::vector<std::string> Algorithms(const ConvShape& shape, ConvPass pass, Layout x, Layout y,
                                      bool exact) const override;
  std::unique_ptr<ConvKernel> Make(const ConvShape& shape, ConvPass pass,
                                   const std::string& algorithm, Layout x, Layout y) const override;
  bool can_pool(const ConvShape& shape) const override { return base_.can_pool(shape); }
  std::unique_ptr<PooledConvKernel> MakePooled(const ConvShape& shape, Layout y) const override {
    return base_.MakePooled(shape, y);
  }
  std::vector<Layout> Layouts(int64_t c, DType dtype) const override;

 private:
  ConvKernels& base_;
  ElementwiseKernels& elementwise_;
};

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_WIDENING_CONV_H_
