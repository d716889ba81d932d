// Backward passes of a convolution with channels last whose output gradient is mostly zeros: each
// element that is not zero is multiplied with the window that it saw, or gave to.
#ifndef LOCKSTEP_KERNELS_CPU_CONV_WINDOW_CONV_H_
#define LOCKSTEP_KERNELS_CPU_CONV_WINDOW_CONV_H_

#include <memory>

#include "kernels/conv.h"
#include "kernels/cpu/isa_choice.h"

namespace lockstep::cpu {

// Float32 pictures with channels last, one group, no dilation along rows, and rows of the filter of
// several vectors; a backward pass.
bool CanRunWindowConv(const ConvShape& shape, ConvPass pass, Layout x, Layout y, Isa isa);
// Results do not depend on the number of threads. A gradient with few zeros only takes longer.
std::unique_ptr<ConvKernel> MakeWindowConv(const ConvShape& shape, ConvPass pass, Isa isa);

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_CONV_WINDOW_CONV_H_
