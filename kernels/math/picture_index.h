// Between a picture's elements and where they lie (kernels/layout.h).
#ifndef LOCKSTEP_KERNELS_MATH_PICTURE_INDEX_H_
#define LOCKSTEP_KERNELS_MATH_PICTURE_INDEX_H_

#include <cstdint>

#include "kernels/elementwise.h"
#include "kernels/layout.h"
#include "kernels/math/divisor.h"
#include "kernels/math/host_device.h"

namespace lockstep::math {

// Pixel p = h * W + w of channel c of sample n.
struct PicturePoint {
  int64_t n, c, p;
};

class PictureIndex {
 public:
  // At a single pixel the order of channels is the same in every layout: the simplest is taken.
  LOCKSTEP_FORMULA PictureIndex(const PictureShape& s, Layout layout)
      : pixels_(s.h * s.w),
        channels_(s.c),
        block_(pixels_ == 1 ? s.c : layout.block),
        by_pixels_(pixels_ < 1 ? 1 : pixels_),
        by_block_(block_ < 1 ? 1 : block_),
        by_blocks_(block_ < 1 || s.c < 1 ? 1 : s.c / block_) {}

  LOCKSTEP_FORMULA int64_t pixels() const { return pixels_; }
  LOCKSTEP_FORMULA int64_t channels() const { return channels_; }
  LOCKSTEP_FORMULA int64_t block() const { return block_; }

  LOCKSTEP_FORMULA int64_t Offset(const PicturePoint& at) const {
    int64_t lane;
    const int64_t b = by_block_.Divide(at.c, &lane);
    return ((at.n * by_blocks_.value() + b) * pixels_ + at.p) * block_ + lane;
  }
  LOCKSTEP_FORMULA PicturePoint Point(int64_t offset) const {
    int64_t lane, p, b;
    const int64_t row = by_block_.Divide(offset, &lane);
    const int64_t plane = by_pixels_.Divide(row, &p);
    const int64_t n = by_blocks_.Divide(plane, &b);
    return {n, b * block_ + lane, p};
  }

  // Whether `count` elements from a multiple of it on share their channel (step 0) or have
  // consecutive ones (step 1); else -1.
  LOCKSTEP_FORMULA int ChannelStep(int64_t count) const {
    if (block_ % count == 0) return 1;
    return block_ == 1 && pixels_ % count == 0 ? 0 : -1;
  }

 private:
  int64_t pixels_, channels_, block_;
  Divisor by_pixels_, by_block_, by_blocks_;
};

}  // namespace lockstep::math

#endif  // LOCKSTEP_KERNELS_MATH_PICTURE_INDEX_H_
