#include "kernels/cpu/conv/sparse_gradient.h"

#include <algorithm>

namespace lockstep::cpu {
namespace {

constexpr double kMostNonzeros = 0.4;     // of the gradient's elements
constexpr int64_t kLeastVectors = 4;      // of a row of the filter
constexpr int64_t kMostListed = 1 << 16;  // elements of the gradient of one picture

bool Fits(const Geometry& g, int64_t lanes) {
  return g.s.groups == 1 && g.s.dilation_w == 1 && g.s.kw * g.group_c >= kLeastVectors * lanes &&
         g.group_k * g.pixels <= kMostListed;
}

}  // namespace

SparseGradient::SparseGradient(const Geometry& geometry, Isa isa, Channels channels, bool allowed)
    : g_(geometry),
      transposes_(IndexedTableOf(isa)),
      table_(WindowTableOf(isa)),
      channels_(channels),
      fits_(allowed && Fits(geometry, table_.lanes)),
      width_(g_.s.kw * g_.group_c),
      slice_(RoundUp(width_, table_.lanes)) {}

bool SparseGradient::Pays(const float* dy, const float* other, int64_t other_size) const {
  if (!fits_) return false;
  const int64_t size = g_.s.n * g_.group_k * g_.pixels;
  const auto most = static_cast<int64_t>(kMostNonzeros * static_cast<double>(size));
  return table_.count_nonzeros(dy, size) <= most && table_.all_finite(other, other_size);
}

Listed SparseGradient::WhatCounts(const float* other, int64_t other_size) const {
  return table_.all_finite(other, other_size) ? Listed::kNonzeros : Listed::kAll;
}

void SparseGradient::CopyPicture(const float* x, float* copy) const {
  const int64_t c = g_.group_c, row = g_.s.w * c;
  if (!g_.padded) {
    if (channels_ == Channels::kLast) {
      std::copy(x, x + PictureSize(), copy);
    } else {
      transposes_.transpose(x, g_.plane, c, g_.plane, copy, c);
    }
    return;
  }
  std::fill(copy, copy + PictureSize(), 0.0F);
  for (int64_t h = 0; h < g_.s.h; ++h) {
    float* const to = copy + g_.PaddedRow(h) * c;
    if (channels_ == Channels::kLast) {
      std::copy(x + h * row, x + (h + 1) * row, to);
    } else {
      transposes_.transpose(x + h * g_.s.w, g_.s.h * g_.s.w, c, g_.s.w, to, c);
    }
  }
}

void SparseGradient::CopyBack(const float* copy, float* x) const {
  const int64_t c = g_.group_c, row = g_.s.w * c;
  for (int64_t h = 0; h < g_.s.h; ++h) {
    const float* const from = copy + g_.PaddedRow(h) * c;
    if (channels_ == Channels::kLast) {
      std::copy(from, from + row, x + h * row);
    } else {
      transposes_.transpose(from, c, g_.s.w, c, x + h * g_.s.w, g_.s.h * g_.s.w);
    }
  }
}

gemm::Nonzero<float>* SparseGradient::List(Listed listed, const float* values, int64_t size,
                                           const uint32_t* rows, Nonzero* to) const {
  if (listed == Listed::kNonzeros) return table_.list(values, size, rows, to);
  for (int64_t i = 0; i < size; ++i) *to++ = {values[i], rows[i]};
  return to;
}

SparseWeights::SparseWeights(const Geometry& geometry, Isa isa, Channels channels, bool allowed)
    : SparseGradient(geometry, isa, channels, allowed),
      pictures_(g_.SummedPictures()),
      pictures_size_(RoundUp(pictures_ * PictureSize() + table_.lanes, 16)),
      gradient_size_(channels == Channels::kLast ? RoundUp(pictures_ * g_.group_k * g_.pixels, 16)
                                                 : 0) {
  for (int64_t i = 0; fits_ && i < pictures_ * g_.pixels; ++i) {
    const int64_t pixel = i % g_.pixels, w = g_.s.out_w();
    windows_.push_back(static_cast<uint32_t>(i / g_.pixels * PictureSize() +
                                             g_.Pixel(pixel / w, pixel % w) * g_.group_c));
  }
}

void SparseWeights::Run(const float* x, const float* dy, Listed listed, int64_t parts,
                        int64_t slots, float* scratch, float* dw) const {
  const int64_t x_size = g_.group_c * g_.s.h * g_.s.w, y_size = g_.group_k * g_.pixels;
  float* const sums = scratch + slots * slot_size();
  ForEachOnSlots(parts, scratch, slots, slot_size(), [&](int64_t i, float* slot) {
    float* const part = sums + i * part_size();
    std::fill(part, part + part_size(), 0.0F);
    const int64_t end = g_.s.n * (i + 1) / parts;
    for (int64_t n = g_.s.n * i / parts; n < end; n += pictures_) {
      AddPictures(x + n * x_size, dy + n * y_size, std::min(pictures_, end - n), listed, part,
                  slot);
    }
  });
  ParallelFor(g_.group_k, 8,
              [&](int64_t begin, int64_t end) { Finish(sums, parts, begin, end, dw); });
}

void SparseWeights::AddPictures(const float* x, const float* dy, int64_t pictures, Listed listed,
                                float* part, float* slot) const {
  for (int64_t i = 0; i < pictures; ++i) {
    CopyPicture(x + i * g_.group_c * g_.s.h * g_.s.w, slot + i * PictureSize());
  }
  // From a picture to the next one, and from a channel.
  int64_t picture = g_.group_k * g_.pixels, channel = g_.pixels;
  if (channels_ == Channels::kLast) {
    float* const by_channel = slot + pictures_size_;
    transposes_.transpose(dy, g_.group_k, pictures * g_.pixels, g_.group_k, by_channel,
                          pictures * g_.pixels);
    dy = by_channel;
    picture = g_.pixels;
    channel = pictures * g_.pixels;
  }
  auto* const list = reinterpret_cast<Nonzero*>(slot + pictures_size_ + gradient_size_);
  for (int64_t k = 0; k < g_.group_k; ++k) {
    Nonzero* end = list;
    for (int64_t i = 0; i < pictures; ++i) {
      end = List(listed, dy + i * picture + k * channel, g_.pixels, windows_.data() + i * g_.pixels,
                 end);
    }
    for (int64_t r = 0; r < g_.s.kh; ++r) {
      table_.add(list, end, slot + FilterRow(r), width_, part + (k * g_.s.kh + r) * slice_);
    }
  }
}

void SparseWeights::Finish(float* parts, int64_t count, int64_t begin, int64_t end,
                           float* dw) const {
  const int64_t filter = g_.s.kh * slice_;
  for (int64_t part = 1; part < count; ++part) {
    const float* more = parts + part * part_size();
    for (int64_t i = begin * filter; i < end * filter; ++i) parts[i] += more[i];
  }
  for (int64_t row = begin * g_.s.kh; row < end * g_.s.kh; ++row) {
    const int64_t k = row / g_.s.kh, r = row % g_.s.kh;
    transposes_.transpose(parts + row * slice_, g_.group_c, g_.s.kw, g_.group_c,
                          dw + k * g_.taps + r * g_.s.kw, g_.s.kh * g_.s.kw);
  }
}

SparseData::SparseData(const Geometry& geometry, Isa isa, Channels channels, bool allowed)
    : SparseGradient(geometry, isa, channels, allowed) {
  for (int64_t k = 0; k < g_.group_k; ++k) filters_.push_back(static_cast<uint32_t>(k * slice_));
}

// The picture, its gradient by pixels, and lists with where each starts.
int64_t SparseData::slot_size() const {
  return RoundUp(PictureSize(), 16) + RoundUp(g_.pixels * RowSize(), 16) +
         ListSize(g_.pixels * g_.group_k) + ListSize(g_.pixels + 1);
}

void SparseData::PrepareWeights(const float* weights, float* prepared) const {
  std::fill(prepared, prepared + prepared_size(), 0.0F);
  for (int64_t row = 0; row < g_.s.kh * g_.group_k; ++row) {
    const int64_t r = row / g_.group_k, k = row % g_.group_k;
    transposes_.transpose(weights + k * g_.taps + r * g_.s.kw, g_.s.kh * g_.s.kw, g_.group_c,
                          g_.s.kw, prepared + row * slice_, g_.group_c);
  }
}

void SparseData::Run(const float* prepared, const float* dy, Listed listed, float* dx,
                     float* slot) const {
  float* const picture = slot;
  float* const by_pixel = picture + RoundUp(PictureSize(), 16);
  auto* const list = reinterpret_cast<Nonzero*>(by_pixel + g_.pixels * RowSize());
  auto* const starts = reinterpret_cast<const Nonzero**>(reinterpret_cast<float*>(list) +
                                                         ListSize(g_.pixels * g_.group_k));
  int64_t row = g_.group_k;
  if (channels_ == Channels::kFirst) {
    row = RowSize();
    transposes_.transpose(dy, g_.pixels, g_.group_k, g_.pixels, by_pixel, row);
    dy = by_pixel;
  }
  Nonzero* end = list;
  for (int64_t pixel = 0; pixel < g_.pixels; ++pixel) {
    starts[pixel] = end;
    end = List(listed, dy + pixel * row, g_.group_k, filters_.data(), end);
  }
  starts[g_.pixels] = end;
  std::fill(picture, picture + PictureSize(), 0.0F);
  for (int64_t r = 0; r < g_.s.kh; ++r) {
    AddFilterRow(prepared + r * g_.group_k * slice_, starts, picture + FilterRow(r));
  }
  CopyBack(picture, dx);
}

// From right to left: an element then gets what the filter's columns give it from the first to the
// last.
void SparseData::AddFilterRow(const float* weights, const Nonzero* const* lists, float* dx) const {
  for (int64_t h = 0; h < g_.s.out_h(); ++h) {
    for (int64_t w = g_.s.out_w() - 1; w >= 0; --w) {
      const Nonzero* const* list = lists + h * g_.s.out_w() + w;
      table_.add(list[0], list[1], weights, width_, dx + g_.Pixel(h, w) * g_.group_c);
    }
  }
}

}  // namespace lockstep::cpu
