// Convolution as matrix products on AMX tiles.
#ifndef LOCKSTEP_KERNELS_CPU_CONV_TILE_CONV_H_
#define LOCKSTEP_KERNELS_CPU_CONV_TILE_CONV_H_

#include <memory>

#include "kernels/conv.h"
#include "kernels/cpu/gemm.h"

namespace lockstep::cpu {

// Float32 pictures with channels last, one group, and weights that stay in the L2 cache.
bool CanRunTileConv(const ConvShape& shape, Layout x, Layout y, Isa isa);
// Results do not depend on the number of threads, nor a picture's on the others. Where pieces of
// bfloat16 do not hold an element of a picture, im2col and `gemm`, which outlives this, do it; of
// all pictures for a weight gradient.
std::unique_ptr<ConvKernel> MakeTileConv(const CpuGemm* gemm, const ConvShape& shape,
                                         ConvPass pass);

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_CONV_TILE_CONV_H_
