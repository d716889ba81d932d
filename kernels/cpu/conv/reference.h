// Convolution by direct loops: any shape, layout, dilation and groups.
#ifndef LOCKSTEP_KERNELS_CPU_CONV_REFERENCE_H_
#define LOCKSTEP_KERNELS_CPU_CONV_REFERENCE_H_

#include <memory>

#include "kernels/conv.h"

namespace lockstep::cpu {

// Sums in double, in an order that depends on the shape alone.
std::unique_ptr<ConvKernel> MakeReferenceConv(const ConvShape& shape, ConvPass pass, Layout x,
                                              Layout y);

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_CONV_REFERENCE_H_
