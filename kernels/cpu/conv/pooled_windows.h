// The inner loops of a convolution with max pooling behind it. Included by files compiled for
// several instruction sets, so nothing here has a function body.
#ifndef LOCKSTEP_KERNELS_CPU_CONV_POOLED_WINDOWS_H_
#define LOCKSTEP_KERNELS_CPU_CONV_POOLED_WINDOWS_H_

#include <cstdint>

#include "kernels/cpu/isa_choice.h"

namespace lockstep::cpu {

// One picture, padding included, under stride 1. Pooled pixel (i, j) stands for the output pixels
// from (2 i, 2 j) to (2 i + 1, 2 j + 1): its window, whose pixels count in row-major order.
struct PooledPicture {
  const float* x;         // what output pixel (0, 0) sees first
  int64_t row;            // from a row of a channel to the next
  int64_t height, width;  // pooled
  int64_t k;              // channels of the output
};

struct PooledForward {
  PooledPicture picture;
  const int64_t* taps;  // from the first element that an output pixel sees
  int64_t count;
  const float* weights;  // as `pack` leaves them
  const float* bias;     // of padded_channels(k)
  float* y;              // (height, width, k)
  uint8_t* argmax;       // (height, width, k): which pixel of its window is the maximum; or null
};

struct PooledBackward {
  PooledPicture picture;       // readable for kCopyWidth floats more
  const int64_t* filter_rows;  // where they begin: each is taps that are neighbours
  int64_t count, length;       // of rows of the filter; of one
  const float* dy;             // (height, width, k)
  const uint8_t* argmax;
  int64_t row_size;  // of what an output pixel saw, in whole vectors
  float* rows;       // scratch: (2, 2 width, row_size) and kCopyWidth more
  float* sums;       // (k, row_size): the products of dy with the row of its maximum are added
};
constexpr int64_t kCopyWidth = 8;

// Elements that an output pixel sees, at most.
constexpr int64_t kMaxPooledTaps = 32;

// One instruction set's implementation.
struct PooledTable {
  int lanes;  // of a vector
  // k in whole pieces, which are vectors of some widths.
  int64_t (*padded_channels)(int64_t k);
  // From (k, count) to pieces of (count, channels of the piece); lanes without a channel are 0.
  void (*pack)(const float* weights, int64_t k, int64_t count, float* packed);
  void (*forward)(const PooledForward& job);
  void (*backward)(const PooledBackward& job);
};

const PooledTable& PooledTableOf(Isa isa);

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_CONV_POOLED_WINDOWS_H_
