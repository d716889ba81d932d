// The offsets by which an implicit convolution finds pixels, taps and vectors.
#ifndef LOCKSTEP_KERNELS_CPU_CONV_IMPLICIT_GEOMETRY_H_
#define LOCKSTEP_KERNELS_CPU_CONV_IMPLICIT_GEOMETRY_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/conv.h"
#include "kernels/cpu/conv/work.h"

namespace lockstep::cpu {

using Offsets = std::vector<int64_t>;

inline Offsets Multiples(int64_t count, int64_t step) {
  Offsets offsets(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) offsets[static_cast<size_t>(i)] = i * step;
  return offsets;
}

// Offsets into one group's channels of a padded picture (channels, h + 2 pad_h, w + 2 pad_w).
struct Geometry {
  explicit Geometry(const ConvShape& shape)
      : s(shape),
        group_c(s.c / s.groups),
        group_k(s.k / s.groups),
        taps(group_c * s.kh * s.kw),
        pixels(s.out_h() * s.out_w()),
        row(s.w + 2 * s.pad_w),
        plane((s.h + 2 * s.pad_h) * row),
        padded(s.pad_h > 0 || s.pad_w > 0) {}

  // Pictures whose output pixels a weight gradient sums at once.
  int64_t SummedPictures() const {
    constexpr int64_t kPixels = 256;
    return std::clamp<int64_t>(kPixels / pixels, 1, s.n);
  }
  int64_t Filter(int64_t r, int64_t q) const { return r * s.dilation_h * row + q * s.dilation_w; }
  // Of every tap (c, r, q).
  Offsets Taps() const {
    Offsets offsets;
    for (int64_t t = 0; t < taps; ++t) {
      offsets.push_back(t / (s.kh * s.kw) * plane + Filter(t / s.kw % s.kh, t % s.kw));
    }
    return offsets;
  }
  // What the first tap reads for output pixel (h, w).
  int64_t Pixel(int64_t h, int64_t w) const { return h * s.stride_h * row + w * s.stride_w; }

  // Between the group's channels of the picture at `x` and a padded copy.
  void Pad(const float* x, float* copy) const {
    std::fill(copy, copy + group_c * plane, 0.0F);
    for (int64_t i = 0; i < group_c * s.h; ++i) {
      std::copy(x + i * s.w, x + (i + 1) * s.w, copy + PaddedRow(i));
    }
  }
  void Unpad(const float* copy, float* x) const {
    for (int64_t i = 0; i < group_c * s.h; ++i) {
      std::copy(copy + PaddedRow(i), copy + PaddedRow(i) + s.w, x + i * s.w);
    }
  }
  int64_t PaddedRow(int64_t i) const {
    return i / s.h * plane + (i % s.h + s.pad_h) * row + s.pad_w;
  }

  ConvShape s;
  int64_t group_c, group_k, taps, pixels;
  int64_t row, plane;
  bool padded;
};

// The output rows cut into vectors.
struct Segments {
  Segments(const Geometry& g, int64_t vector_lanes) {
    for (int64_t h = 0; h < g.s.out_h(); ++h) {
      for (int64_t w = 0; w < g.s.out_w(); w += vector_lanes) {
        x.push_back(g.Pixel(h, w));
        y.push_back(h * g.s.out_w() + w);
        lanes.push_back(std::min(vector_lanes, g.s.out_w() - w));
      }
    }
    whole = g.s.out_w() % vector_lanes == 0;
  }

  Offsets x, y, lanes;
  bool whole;  // no vector reads beyond its row
};

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_CONV_IMPLICIT_GEOMETRY_H_
