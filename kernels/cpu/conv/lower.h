// Between a picture and the matrix of what each output pixel reads ("im2col" and "col2im").
#ifndef LOCKSTEP_KERNELS_CPU_CONV_LOWER_H_
#define LOCKSTEP_KERNELS_CPU_CONV_LOWER_H_

#include <cstdint>

#include "kernels/conv.h"
#include "kernels/cpu/conv/picture.h"

namespace lockstep::cpu {

// Output pixels [begin, end) (row-major) of one picture, for one group of a convolution.
struct LowerPart {
  int64_t n, group;
  int64_t begin, end;
};

// columns[(c * kh + r) * kw + q][pixel - begin] = what the tap (c, r, q) multiplies for the pixel,
// 0 in the padding; `row` is the length of a row of `columns`.
template <typename T>
void Lower(const ConvShape& shape, const Picture& picture, const LowerPart& part, const T* x,
           T* columns, int64_t row);

// The transpose: adds columns to the picture's gradient.
template <typename T>
void Raise(const ConvShape& shape, const Picture& picture, const LowerPart& part, const T* columns,
           int64_t row, T* dx);

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_CONV_LOWER_H_
