// Where the elements of a convolution's pictures lie.
#ifndef LOCKSTEP_KERNELS_CPU_CONV_PICTURE_H_
#define LOCKSTEP_KERNELS_CPU_CONV_PICTURE_H_

#include <cstdint>

#include "kernels/conv.h"
#include "kernels/layout.h"

namespace lockstep::cpu {

// Offsets in elements into a picture batch (n, c, h, w) of one layout (kernels/layout.h).
struct Picture {
  int64_t c, h, w, block;

  // Of element (n, c, 0, 0).
  int64_t Plane(int64_t n, int64_t channel) const {
    return ((n * (c / block) + channel / block) * h * w) * block + channel % block;
  }
  // From a pixel to the next one of the same channel; rows follow each other without a gap.
  int64_t pixel_stride() const { return block; }
};

inline Picture InputPicture(const ConvShape& s, Layout layout) {
  return {s.c, s.h, s.w, layout.block};
}
inline Picture OutputPicture(const ConvShape& s, Layout layout) {
  return {s.k, s.out_h(), s.out_w(), layout.block};
}

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_CONV_PICTURE_H_
