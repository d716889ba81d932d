// Where the values of a group of channels lie in a picture batch.
#ifndef LOCKSTEP_KERNELS_CPU_ISA_CHANNEL_ROWS_H_
#define LOCKSTEP_KERNELS_CPU_ISA_CHANNEL_ROWS_H_

#include <cstdint>

namespace lockstep::cpu {

// Most channels of a group: sizes the stack buffers of the callers.
constexpr int64_t kGroupChannels = 256;

// `blocks` runs of `width` channels from channel c0 on; a picture has `rows` = h * w rows of each
// run. Row p of run b of sample i starts at
//   base + i * sample_stride + b * block_stride + p * row_stride
// and its first element has the logical index p * channels + c0 + b * width in its sample.
struct ChannelRows {
  int64_t samples, rows, blocks, width;
  int64_t base, sample_stride, block_stride, row_stride;
  int64_t channels, c0;
};

// The same of pictures and of those of half their height and width that they are pooled to, whose
// rows are out_w wide.
struct PooledRows {
  ChannelRows x, y;
  int64_t out_w;
};

// The numbers a dropout draws, see DropoutArgs. Kept where word >= threshold.
struct DropoutDraw {
  uint64_t key;
  const int64_t* sample_ids;
  uint32_t epoch;
  uint32_t threshold;
  double scale;  // of kept values; 0: no dropout
};

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_ISA_CHANNEL_ROWS_H_
