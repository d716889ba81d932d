// Convolution on the CPU: which algorithms can run a pass, and making them.
#ifndef LOCKSTEP_KERNELS_CPU_CONV_CONV_H_
#define LOCKSTEP_KERNELS_CPU_CONV_CONV_H_

#include <memory>
#include <string>
#include <vector>

#include "kernels/conv.h"
#include "kernels/cpu/gemm.h"

namespace lockstep::cpu {

// Algorithms, float32 unless said otherwise:
//   winograd...      kernels/cpu/winograd, 3x3 or 5x5, stride 1
//   onednn_direct    oneDNN's jit convolutions on blocked or NHWC pictures
//   onednn_winograd  oneDNN's Winograd, machines with AVX-512 only
//   tile_gemm        products on AMX tiles, pictures with channels last
//   implicit_gemm    plain pictures read in place, horizontal stride 1: few or odd channels
//   window_sums      backward passes that leave out zeros of the output gradient, channels last
//   im2col_gemm      explicit lowering in chunks that stay in the cache; also float64
//   reference        direct loops, any shape and layout; also float64
class CpuConv : public ConvKernels {
 public:
  // `gemm` outlives this and every kernel made by it; its instruction set is that of the kernels
  // here. oneDNN's own are made for the best one there is.
  explicit CpuConv(const CpuGemm* gemm) : gemm_(gemm) {}

  std::vector<std::string> Algorithms(const ConvShape& shape, ConvPass pass, Layout x, Layout y,
                                      bool exact) const override;
  std::unique_ptr<ConvKernel> Make(const ConvShape& shape, ConvPass pass,
                                   const std::string& algorithm, Layout x, Layout y) const override;
  bool can_pool(const ConvShape& shape) const override;
  std::unique_ptr<PooledConvKernel> MakePooled(const ConvShape& shape, Layout y) const override;
  std::vector<Layout> Layouts(int64_t c, DType dtype) const override;

 private:
  const CpuGemm* gemm_;
};

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_CONV_CONV_H_
