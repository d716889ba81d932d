#include "kernels/cpu/random.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cpu/channel_groups.h"
#include "kernels/cpu/parallel.h"
#include "kernels/dropout_ratio.h"

namespace lockstep::cpu {
namespace {

// Philox blocks that one part of a fill takes at least; parts start at its multiples.
constexpr int64_t kFillBlocks = 1024;

// The picture as the draws see it. With channels last the elements of a sample are in the order of
// their logical index: one long row. Otherwise all blocks of channels are one group: no constants
// per channel limit its size.
ChannelRows RowsOf(const PictureShape& s, Layout layout) {
  const int64_t pixels = s.h * s.w;
  const int64_t size = s.c * pixels;
  if (layout.block == s.c || pixels == 1) return {s.n, size, 1, 1, 0, size, size, 1, 1, 0};
  const int64_t block = layout.block;
  return {s.n, pixels, s.c / block, block, 0, size, block * pixels, block, s.c, 0};
}

}  // namespace

DropoutDraw DrawOf(const DropoutArgs& args) {
  const uint32_t threshold = DropoutThreshold(args.ratio);
  if (args.ratio == 0) return {args.key, args.sample_ids, 0, 0, 0.0};
  return {args.key, args.sample_ids, *args.epoch, threshold, 1.0 / (1.0 - args.ratio)};
}

void CpuRandom::DropoutForward(DType dtype, const PictureShape& shape, Layout layout,
                               const DropoutArgs& args, const void* x, void* y) {
  const DropoutDraw draw = DrawOf(args);
  const ChannelRows g = RowsOf(shape, layout);
  const int64_t positions = g.samples * g.blocks * g.rows;
  WithType(*isa_, dtype, [&](const auto& loops, auto* type) {
    ParallelFor(positions, GrainOf(2 * g.width), [&](int64_t begin, int64_t end) {
      if (draw.scale == 0) {
        if (x != y) {
          std::memcpy(As(y, type) + begin * g.width, As(x, type) + begin * g.width,
                      static_cast<size_t>((end - begin) * g.width) * SizeOf(dtype));
        }
        return;
      }
      loops.random.dropout(g, begin, end, draw, As(x, type), As(y, type));
    });
  });
}

void CpuRandom::DropoutBackward(DType dtype, const PictureShape& shape, Layout layout,
                                const DropoutArgs& args, const void* dy, void* dx) {
  DropoutForward(dtype, shape, layout, args, dy, dx);  // linear: its own transpose
}

void CpuRandom::FillNormal(DType dtype, uint64_t key, double mean, double stddev, int64_t size,
                           void* x) {
  const int64_t blocks = (size + 3) / 4;
  const int64_t parts = (blocks + kFillBlocks - 1) / kFillBlocks;
  WithType(*isa_, dtype, [&](const auto& loops, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    ParallelFor(parts, 1, [&](int64_t begin, int64_t end) {
      loops.random.fill_normal(key, static_cast<T>(mean), static_cast<T>(stddev),
                               begin * kFillBlocks, std::min(end * kFillBlocks, blocks), size,
                               As(x, type));
    });
  });
}

void CpuRandom::FillUniform(DType dtype, uint64_t key, double low, double high, int64_t size,
                            void* x) {
  const int64_t blocks = (size + 3) / 4;
  const int64_t parts = (blocks + kFillBlocks - 1) / kFillBlocks;
  WithType(*isa_, dtype, [&](const auto& loops, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const T first = static_cast<T>(low);
    const T last = std::max(first, std::nextafter(static_cast<T>(high), first));
    ParallelFor(parts, 4, [&](int64_t begin, int64_t end) {
      loops.random.fill_uniform(key, first, static_cast<T>(high - low), last, begin * kFillBlocks,
                                std::min(end * kFillBlocks, blocks), size, As(x, type));
    });
  });
}

}  // namespace lockstep::cpu
