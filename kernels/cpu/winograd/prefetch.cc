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
  prefetch.lines_per_row_ = Lines(tile * row_floats);
  for (int64_t row = job.first / job.cols; row <= (job.first + job.count - 1) / job.cols; ++row) {
    const int64_t image = row / job.rows, y = (row - image * job.rows) * tile;
    const float* at = picture.data + image * picture.image_stride + y * row_floats;
    for (int64_t b = 0; b < picture.image_stride; b += picture.block_stride) {
      prefetch.rows_.push_back(reinterpret_cast<const char*>(at + b));
    }
  }
  return prefetch;
}

void Prefetch::Step() {
  if (rows_.empty()) return;
  const int64_t lines = static_cast<int64_t>(rows_.size()) * lines_per_row_;
  const int64_t end = lines * (step_ + 1) / steps_;
  for (int64_t line = lines * step_ / steps_; line < end;) {
    const int64_t row = line / lines_per_row_, within = line - row * lines_per_row_;
    const int64_t count = std::min(lines_per_row_ - within, end - line);
    const char* at = rows_[static_cast<size_t>(row)] + within * kLineBytes;
    for (int64_t i = 0; i < count; ++i) __builtin_prefetch(at + i * kLineBytes, 0, 2);
    line += count;
  }
  ++step_;
}

}  // namespace lockstep::cpu::winograd
