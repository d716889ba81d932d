// Convolution as matrix products over lowered pictures, float32 and float64.
#ifndef LOCKSTEP_KERNELS_CPU_CONV_IM2COL_CONV_H_
#define LOCKSTEP_KERNELS_CPU_CONV_IM2COL_CONV_H_

#include <memory>

#include "kernels/conv.h"
#include "kernels/cpu/gemm.h"

namespace lockstep::cpu {

// Any shape and layout. Results do not depend on the number of threads.
std::unique_ptr<ConvKernel> MakeIm2colConv(const CpuGemm* gemm, const ConvShape& shape,
                                           ConvPass pass, Layout x, Layout y);

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_CONV_IM2COL_CONV_H_
