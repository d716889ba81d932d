// Convolution by oneDNN's jit kernels, float32.
#ifndef LOCKSTEP_KERNELS_CPU_CONV_ONEDNN_CONV_H_
#define LOCKSTEP_KERNELS_CPU_CONV_ONEDNN_CONV_H_

#include <memory>

#include "kernels/conv.h"

namespace lockstep::cpu {

enum class OnednnAlgorithm { kDirect, kWinograd };

// Whether the library has generated code, not a fallback, for the pass with these layouts.
bool HasOnednnConv(const ConvShape& shape, ConvPass pass, OnednnAlgorithm algorithm, Layout x,
                   Layout y);
// Throws UnavailableError where HasOnednnConv is false.
std::unique_ptr<ConvKernel> MakeOnednnConv(const ConvShape& shape, ConvPass pass,
                                           OnednnAlgorithm algorithm, Layout x, Layout y);

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_CONV_ONEDNN_CONV_H_
