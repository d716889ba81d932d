// Copies between pictures of other layouts, one element of the target a call.
#ifndef LOCKSTEP_KERNELS_MATH_COPIES_H_
#define LOCKSTEP_KERNELS_MATH_COPIES_H_

#include <cstdint>

#include "kernels/math/host_device.h"
#include "kernels/math/picture_index.h"

namespace lockstep::math {

// ElementwiseKernels::CopyChannels. `part` is the picture of the copied channels alone in y's
// order: its elements are numbered, so that neighbouring threads write neighbouring elements.
template <typename T>
struct CopyChannelsMap {
  PictureIndex part, from, to;
  int64_t x_offset, y_offset;
  const T* x;
  T* y;

  LOCKSTEP_FORMULA void operator()(int64_t i) const {
    const PicturePoint at = part.Point(i);
    y[to.Offset({at.n, at.c + y_offset, at.p})] = x[from.Offset({at.n, at.c + x_offset, at.p})];
  }
};

// ElementwiseKernels::CopyIf.
struct CopyIfMap {
  const int64_t* condition;
  const int64_t* from;
  int64_t* to;
  LOCKSTEP_FORMULA void operator()(int64_t i) const {
    if (*condition != 0) to[i] = from[i];
  }
};

}  // namespace lockstep::math

#endif  // LOCKSTEP_KERNELS_MATH_COPIES_H_
