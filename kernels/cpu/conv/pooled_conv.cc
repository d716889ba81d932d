#include "kernels/cpu/conv/pooled_conv.h"

#include <algorithm>

#include "kernels/cpu/conv/implicit_geometry.h"
#include "kernels/cpu/conv/picture.h"
#include "kernels/cpu/conv/pooled_windows.h"
#include "kernels/cpu/conv/work.h"

namespace lockstep::cpu {
namespace {

class PooledConv : public PooledConvKernel {
 public:
  PooledConv(const ConvShape& s, Layout y, Isa isa)
      : g_(s),
        table_(PooledTableOf(isa)),
        y_{s.k, s.out_h() / 2, s.out_w() / 2, y.block},
        taps_(g_.Taps()),
        row_size_(RoundUp(g_.taps, table_.lanes)),
        channels_(table_.padded_channels(s.k)),
        parts_(SumParts(s.n, static_cast<size_t>(s.k * row_size_) * sizeof(float))),
        slots_(MaxSlots(s.n)) {
    for (int64_t i = 0; i < g_.taps; i += s.kw)
      filter_rows_.push_back(taps_[static_cast<size_t>(i)]);
  }

  size_t scratch_bytes() const override {
    const int64_t once = std::max(WeightsSize() + RoundUp(channels_, 16), parts_ * PartSize());
    return static_cast<size_t>(once + slots_ * SlotSize()) * sizeof(float);
  }

  void Forward(const void* x, const void* weights, const void* bias, void* y, uint8_t* argmax,
               void* scratch) override {
    auto* const packed = static_cast<float*>(scratch);
    float* const packed_bias = packed + WeightsSize();
    float* const slots = packed_bias + RoundUp(channels_, 16);
    table_.pack(static_cast<const float*>(weights), g_.s.k, g_.taps, packed);
    std::fill_n(packed_bias, channels_, 0.0F);
    if (bias != nullptr) {
      std::copy_n(static_cast<const float*>(bias), g_.s.k, packed_bias);
    }
    ForEachOnSlots(g_.s.n, slots, slots_, SlotSize(), [&](int64_t n, float* slot) {
      float* const to = static_cast<float*>(y) + n * pooled() * g_.s.k;
      float* const last = IsChannelsLast() ? to : slot + PictureSize();
      table_.forward({.picture = CopyOf(x, n, slot),
                      .taps = taps_.data(),
                      .count = g_.taps,
                      .weights = packed,
                      .bias = packed_bias,
                      .y = last,
                      .argmax = argmax != nullptr ? argmax + n * pooled() * g_.s.k : nullptr});
      if (!IsChannelsLast()) Reorder([&](int64_t in_y, int64_t i) { to[in_y] = last[i]; });
    });
  }

  void BackwardWeights(const void* x, const void* dy, const uint8_t* argmax, void* dw,
                       void* scratch) override {
    auto* const parts = static_cast<float*>(scratch);
    float* const slots = parts + parts_ * PartSize();
    ForEachOnSlots(parts_, slots, slots_, SlotSize(), [&](int64_t part, float* slot) {
      float* const sums = parts + part * PartSize();
      float* const rows = slot + PictureSize() + RoundUp(pooled() * g_.s.k, 16);
      std::fill_n(sums, g_.s.k * row_size_, 0.0F);
      std::fill_n(rows, RowsSize(), 0.0F);
      for (int64_t n = g_.s.n * part / parts_; n < g_.s.n * (part + 1) / parts_; ++n) {
        const float* const from = static_cast<const float*>(dy) + n * pooled() * g_.s.k;
        float* const last = slot + PictureSize();
        if (!IsChannelsLast()) Reorder([&](int64_t in_y, int64_t i) { last[i] = from[in_y]; });
        table_.backward({.picture = CopyOf(x, n, slot),
                         .filter_rows = filter_rows_.data(),
                         .count = static_cast<int64_t>(filter_rows_.size()),
                         .length = g_.s.kw,
                         .dy = IsChannelsLast() ? from : last,
                         .argmax = argmax + n * pooled() * g_.s.k,
                         .row_size = row_size_,
                         .rows = rows,
                         .sums = sums});
      }
    });
    Finish(parts, static_cast<float*>(dw));
  }

 private:
  int64_t pooled() const { return y_.h * y_.w; }
  bool IsChannelsLast() const { return y_.block == y_.c; }
  int64_t WeightsSize() const { return RoundUp(channels_ * g_.taps, 16); }
  int64_t PartSize() const { return RoundUp(g_.s.k * row_size_, 16); }
  int64_t PictureSize() const { return RoundUp(g_.group_c * g_.plane + kCopyWidth, 16); }
  int64_t RowsSize() const { return RoundUp(4 * y_.w * row_size_ + kCopyWidth, 16); }
  // A picture, its y or dy with channels last, and the rows of a pooled row.
  int64_t SlotSize() const { return PictureSize() + RoundUp(pooled() * g_.s.k, 16) + RowsSize(); }

  // With its padding, and readable beyond its end.
  PooledPicture CopyOf(const void* x, int64_t n, float* copy) const {
    g_.Pad(static_cast<const float*>(x) + n * g_.group_c * g_.s.h * g_.s.w, copy);
    std::fill_n(copy + g_.group_c * g_.plane, kCopyWidth, 0.0F);
    return {copy, g_.row, y_.h, y_.w, g_.s.k};
  }

  // body(where an element of one picture lies in y, and with channels last).
  template <typename Body>
  void Reorder(const Body& body) const {
    for (int64_t channel = 0; channel < y_.c; ++channel) {
      const int64_t plane = y_.Plane(0, channel);
      for (int64_t i = 0; i < pooled(); ++i) body(plane + i * y_.block, i * y_.c + channel);
    }
  }

  void Finish(const float* parts, float* dw) const {
    for (int64_t channel = 0; channel < g_.s.k; ++channel) {
      for (int64_t tap = 0; tap < g_.taps; ++tap) {
        const float* at = parts + channel * row_size_ + tap;
        float sum = *at;
        for (int64_t part = 1; part < parts_; ++part) sum += at[part * PartSize()];
        *dw++ = sum;
      }
    }
  }

  const Geometry g_;
  const PooledTable& table_;
  const Picture y_;
  const Offsets taps_;
  Offsets filter_rows_;
  const int64_t row_size_, channels_, parts_, slots_;
};

}  // namespace

bool CanPoolConv(const ConvShape& s) {
  const int64_t taps = s.c * s.kh * s.kw;
  return s.dtype == DType::kFloat32 && s.groups == 1 && s.stride_h == 1 && s.stride_w == 1 &&
         s.dilation_h == 1 && s.dilation_w == 1 && s.n > 0 && s.k > 0 && taps > 0 &&
         taps <= kMaxPooledTaps && s.out_h() > 0 && s.out_w() > 0 && s.out_h() % 2 == 0 &&
         s.out_w() % 2 == 0;
}

std::unique_ptr<PooledConvKernel> MakePooledConv(const ConvShape& shape, Layout y, Isa isa) {
  return std::make_unique<PooledConv>(shape, y, isa);
}

}  // namespace lockstep::cpu
