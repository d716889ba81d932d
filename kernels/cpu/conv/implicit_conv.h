// Convolution as matrix products that read the pictures in place: no lowered matrix is written.
#ifndef LOCKSTEP_KERNELS_CPU_CONV_IMPLICIT_CONV_H_
#define LOCKSTEP_KERNELS_CPU_CONV_IMPLICIT_CONV_H_

#include <memory>

#include "kernels/conv.h"
#include "kernels/cpu/isa_choice.h"

namespace lockstep::cpu {

// Plain float32 pictures and a horizontal stride of 1: vectors run along output rows.
bool CanRunImplicitConv(const ConvShape& shape, Layout x, Layout y);
// Results do not depend on the number of threads, nor on whether backward passes may leave out the
// zeros of the output gradient.
std::unique_ptr<ConvKernel> MakeImplicitConv(const ConvShape& shape, ConvPass pass, Isa isa,
                                             bool may_skip_zeros = true);

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_CONV_IMPLICIT_CONV_H_
