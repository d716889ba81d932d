// How the channels of a picture (n, c, h, w) lie in memory.
#ifndef LOCKSTEP_KERNELS_LAYOUT_H_
#define LOCKSTEP_KERNELS_LAYOUT_H_

#include <cstdint>

namespace lockstep {

// A picture is stored as [n][c / block][h][w][block]: element (n, c, h, w) lies at
//   (((n * (C / block) + c / block) * H + h) * W + w) * block + c % block.
// One number covers the three layouts in use:
//   block == 1   plain NCHW (what files, master weights and users see)
//   block == C   NHWC, "channels last"
//   block == 8 or 16   oneDNN's nChw8c, nChw16c
// `block` always divides C: nothing is padded in memory.
struct Layout {
  int64_t block = 1;

  friend bool operator==(Layout a, Layout b) = default;
};

}  // namespace lockstep

#endif  // LOCKSTEP_KERNELS_LAYOUT_H_
