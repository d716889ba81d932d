// Cuts the channels of a picture batch into groups that fit the kernels' stack buffers.
#ifndef LOCKSTEP_KERNELS_CPU_CHANNEL_GROUPS_H_
#define LOCKSTEP_KERNELS_CPU_CHANNEL_GROUPS_H_

#include <algorithm>

#include "kernels/cpu/isa/channel_rows.h"
#include "kernels/elementwise.h"
#include "kernels/layout.h"

namespace lockstep::cpu {

// body(group) for groups of at most kGroupChannels channels, in order. With `merge_samples`, and
// channels last, all samples count as one picture: for work that need not know samples apart.
template <typename Body>
void ForChannelGroups(const PictureShape& shape, Layout layout, bool merge_samples,
                      const Body& body) {
  PictureShape s = shape;
  const bool matrix = s.h * s.w == 1;
  const int64_t block = matrix ? s.c : layout.block;
  int64_t rows = s.h * s.w;
  if (merge_samples && block == s.c) {
    rows *= s.n;
    s.n = 1;
  }
  if (s.n <= 0 || s.c <= 0 || rows <= 0) return;
  const int64_t width = std::min(block, kGroupChannels);
  for (int64_t c0 = 0; c0 < s.c;) {
    const int64_t whole = std::min(s.c - c0, kGroupChannels / block * block);
    const int64_t in_block = std::min(width, block - c0 % block);
    ChannelRows g;
    g.samples = s.n;
    g.rows = rows;
    g.blocks = block <= kGroupChannels ? whole / block : 1;
    g.width = block <= kGroupChannels ? block : in_block;
    g.base = c0 / block * block * rows + c0 % block;
    g.sample_stride = s.c * rows;
    g.block_stride = block * rows;
    g.row_stride = block;
    g.channels = s.c;
    g.c0 = c0;
    body(g);
    c0 += g.blocks * g.width;
  }
}

// Most chunks that a channel's values are cut into: sizes the callers' stack buffers.
constexpr int64_t kMaxChunks = 16;

// Chunks of positions (samples * rows) for the sums of a group: a function of the shape alone.
inline int64_t ChunkCount(const ChannelRows& g) {
  constexpr int64_t kChunkElements = 8192;
  const int64_t positions = g.samples * g.rows;
  const int64_t chunks = positions * g.width / kChunkElements;
  return std::clamp<int64_t>(chunks, 1, std::min(kMaxChunks, positions));
}

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_CHANNEL_GROUPS_H_
