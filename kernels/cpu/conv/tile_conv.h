// Convolution as matrix products on AMX tiles.
#ifndef LOCKSTEP_KERNELS_CPU_CONV_TILE_CONV_H_
#define LOCKSTEP_KERNELS_CPU_CONV_TILE_CONV_H_

#include <memory>

#include "kernels/conv.h"
#include "kernels/cpu/gemm.h"

namespace lockstep::cpu {

// Float32 pictures with channels last, of moderate size, one group, and weights that stay in the L2
// cache.
bool CanRunTileConv(const ConvShape& shape, Layout x, Layout y, Isa isa);
// Results do not depend on the number of threads, nor a picture's on the others. What pieces of
// bfloat16 do not hold (kernels/cpu/amx/product.h) is left to im2col and `gemm`, which outlives
// this: a picture of which that is true, all pictures where it is true of the weights, and all of
// them for a weight gradient. Zeros of the padding meet an infinity there: that is NaN.
std::unique_ptr<ConvKernel> MakeTileConv(const CpuGemm* gemm, const ConvShape& shape,
                                         ConvPass pass);

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_CONV_TILE_CONV_H_
