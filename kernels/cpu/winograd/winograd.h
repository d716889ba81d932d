// Fast bilinear algorithms for 3x3 and 5x5 convolutions of stride 1, float32.
//
// winograd_4x3, winograd_2x3  F(4x4, 3x3) and F(2x2, 3x3) of Lavin & Gray, "Fast Algorithms for
//                             Convolutional Neural Networks" (2015): 36 products for 16 outputs,
//                             16 for 4, where the direct sum has 144 and 36.
// winograd_2x5                F(2x2, 5x5): 36 products for 4 outputs, where the direct sum has 100.
// winograd_4x5                F(4x4, 5x5): 64 products for 16 outputs, the direct sum has 400; of
//                             four times the error.
// toeplitz_2x2                pictures of 2x2 pixels: 9 products for the whole picture.
// A name followed by "_fused" transforms whole pictures first and then takes the weights panel by
// panel, keeping no transformed copy: for layers whose weights outweigh their pictures.
#ifndef LOCKSTEP_KERNELS_CPU_WINOGRAD_WINOGRAD_H_
#define LOCKSTEP_KERNELS_CPU_WINOGRAD_WINOGRAD_H_

#include <memory>
#include <string>
#include <vector>

#include "kernels/conv.h"
#include "kernels/cpu/isa_choice.h"

namespace lockstep::cpu {

// The algorithms that can run this pass with the instructions of `best`, the likeliest best first;
// empty when none can: it takes 3x3 taps of padding 1, c and k divisible by 8 and layouts whose
// block is a multiple of 8, or any padding and number of channels from 8 on with channels last.
std::vector<std::string> WinogradAlgorithms(const ConvShape& shape, ConvPass pass, Layout x,
                                            Layout y, Isa best = BestIsa());

// `algorithm` is one that WinogradAlgorithms named, else ConfigError. The work is split for
// GetThreads() of this call; Run is right with any number of threads, and its result depends only
// on the number at Make.
std::unique_ptr<ConvKernel> MakeWinograd(const ConvShape& shape, ConvPass pass,
                                         const std::string& algorithm, Layout x, Layout y,
                                         Isa best = BestIsa());

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_WINOGRAD_WINOGRAD_H_
