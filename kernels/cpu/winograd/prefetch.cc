#include "kernels/cpu/winograd/prefetch.h"

#include <algorithm>

namespace lockstep::cpu::winograd {
namespace {

constexpr int64_t kLineBytes = 64;

int64_t Lines(int64_t floats) { return (floats * 4 + kLineBytes - 1) / kLineBytes; }

}  // namespace

Prefetch Prefetch::Pixels(const TileJob& job, int64_t tile, int64_t steps) {
  Prefetch prefetch(steps);
  if (job.count == 0) return prefetch;
  const Picture& picture = job.picture;
  const int64_t row_floats = picture.w * picture.block;
  prefetch.picture_ = picture;
  prefetch.tile_rows_ = job.rows;
  prefetch.tile_floats_ = tile * row_floats;
  prefetch.lines_per_run_ = Lines(tile * row_floats);
  prefetch.blocks_ = picture.image_stride / picture.block_stride;
  prefetch.first_row_ = job.first / job.cols;
  const int64_t rows = (job.first + job.count - 1) / job.cols + 1 - prefetch.first_row_;
  prefetch.runs_ = rows * prefetch.blocks_;
  return prefetch;
}

const char* Prefetch::Run(int64_t index) const {
  const int64_t row = first_row_ + index / blocks_, block = index % blocks_;
  const int64_t image = row / tile_rows_, within = row - image * tile_rows_;
  return reinterpret_cast<const char*>(picture_.data + image * picture_.image_stride +
                                       within * tile_floats_ + block * picture_.block_stride);
}

void Prefetch::Step() {
  if (runs_ == 0) return;
  const int64_t lines = runs_ * lines_per_run_;
  const int64_t end = lines * (step_ + 1) / steps_;
  for (int64_t line = lines * step_ / steps_; line < end;) {
    const int64_t run = line / lines_per_run_, within = line - run * lines_per_run_;
    const int64_t count = std::min(lines_per_run_ - within, end - line);
    const char* at = Run(run) + within * kLineBytes;
    for (int64_t i = 0; i < count; ++i) __builtin_prefetch(at + i * kLineBytes, 0, 2);
    line += count;
  }
  ++step_;
}

}  // namespace lockstep::cpu::winograd
