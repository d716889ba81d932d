// The backward passes of a convolution whose output gradient is mostly zeros, as behind max pooling
// and ReLU. With channels last, what one output pixel saw of one row of the filter lies in memory
// one after the other: kw * c elements, which each nonzero element of the gradient is multiplied
// with. Included by files compiled for several instruction sets, so nothing here has a function
// body.
#ifndef LOCKSTEP_KERNELS_CPU_CONV_WINDOW_SUMS_H_
#define LOCKSTEP_KERNELS_CPU_CONV_WINDOW_SUMS_H_

#include <cstdint>

#include "kernels/cpu/gemm/nonzero.h"
#include "kernels/cpu/isa_choice.h"

namespace lockstep::cpu {

// One instruction set's implementation.
struct WindowTable {
  int lanes;  // of a vector
  int64_t (*count_nonzeros)(const float* values, int64_t size);
  bool (*all_finite)(const float* values, int64_t size);
  // Lists values[i] with rows[i] where it is not zero; returns the list's end. `to` has room
  // for all.
  gemm::Nonzero<float>* (*list)(const float* values, int64_t size, const uint32_t* rows,
                                gemm::Nonzero<float>* to);
  // to[j] += sum over the list, from zero and in order, of value * from[row + j], for j < columns.
  // `from` is readable to the end of the last vector.
  void (*add)(const gemm::Nonzero<float>* begin, const gemm::Nonzero<float>* end, const float* from,
              int64_t columns, float* to);
};

const WindowTable& WindowTableOf(Isa isa);

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_CONV_WINDOW_SUMS_H_
