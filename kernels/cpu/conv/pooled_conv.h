// Convolutions of few taps with max pooling behind them, as those that see a network's input.
#ifndef LOCKSTEP_KERNELS_CPU_CONV_POOLED_CONV_H_
#define LOCKSTEP_KERNELS_CPU_CONV_POOLED_CONV_H_

#include <memory>

#include "kernels/conv.h"
#include "kernels/cpu/isa_choice.h"

namespace lockstep::cpu {

// Float32, one group, stride 1, no dilation, up to 32 taps, and an output of even height and width.
bool CanPoolConv(const ConvShape& shape);
// x plain, y in layout `y`.
std::unique_ptr<PooledConvKernel> MakePooledConv(const ConvShape& shape, Layout y, Isa isa);

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_CONV_POOLED_CONV_H_
