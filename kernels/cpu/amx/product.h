// The float32 matrix product on AMX tiles, as sums of products of bfloat16 pieces: the error is
// below that of ordinary float32 sums. Included by files compiled for AMX, so nothing here has a
// function body.
#ifndef LOCKSTEP_KERNELS_CPU_AMX_PRODUCT_H_
#define LOCKSTEP_KERNELS_CPU_AMX_PRODUCT_H_

#include <cstdint>

#include "kernels/cpu/gemm/product.h"

namespace lockstep::cpu::amx {

// Whether bfloat16 pieces hold all of these elements, at first + i * line_stride + s * step_stride
// with one stride 1: they do not where one is infinite, NaN, or above 3.39e38.
bool HoldsAll(const float* first, int64_t lines, int64_t line_stride, int64_t steps,
              int64_t step_stride);

// Products with a sink have no more steps: where there is little to do for an element C is written
// along its rows.
constexpr int64_t kFewSteps = 128;

// On the calling thread; of A's strides one is 1, so of B's. False, and any value in C, where a sum
// is not finite: all of them are where pieces hold A and B and the sums are in range. An element of
// C depends on its row of A, its column of B and k alone. Pieces, products and sums below 1.2e-38
// count as 0, so that elements below 1e-33 lose digits. With a sink there are at most
// kFewSteps, C's columns are neighbours, nothing is added to it, and there are neither bias nor
// ReLU.
bool RunProduct(const gemm::Product<float>& product, const gemm::RowsSink* sink = nullptr);

}  // namespace lockstep::cpu::amx

#endif  // LOCKSTEP_KERNELS_CPU_AMX_PRODUCT_H_
