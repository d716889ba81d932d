#include "kernels/cpu/conv/implicit_conv.h"

#include <algorithm>

#include "kernels/cpu/conv/implicit_geometry.h"
#include "kernels/cpu/conv/indexed_product.h"
#include "kernels/cpu/conv/sparse_gradient.h"
#include "kernels/cpu/conv/work.h"

namespace lockstep::cpu {
namespace {

class ImplicitConv : public ConvKernel {
 public:
  ImplicitConv(const ConvShape& s, Isa isa)
      : g_(s),
        table_(IndexedTableOf(isa)),
        segments_(g_, table_.lanes),
        slots_(MaxSlots(s.n * s.groups)) {}

  size_t prepared_bytes() const override { return 0; }
  void PrepareWeights(const void*, void*) override {}

 protected:
  // body(n, group, slot) for every picture and group.
  template <typename Body>
  void ForEachPicture(const ConvBuffers& b, int64_t slot_size, Body&& body) const {
    ForEachOnSlots(g_.s.n * g_.s.groups, static_cast<float*>(b.scratch), slots_, slot_size,
                   [&](int64_t i, float* slot) { body(i / g_.s.groups, i % g_.s.groups, slot); });
  }
  int64_t X(int64_t n, int64_t group) const {
    return (n * g_.s.c + group * g_.group_c) * g_.s.h * g_.s.w;
  }
  int64_t Y(int64_t n, int64_t group) const {
    return (n * g_.s.k + group * g_.group_k) * g_.pixels;
  }
  int64_t Vectors() const { return static_cast<int64_t>(segments_.x.size()); }

  const Geometry g_;
  const IndexedTable& table_;
  const Segments segments_;
  const int64_t slots_;
};

// y (k, pixels) = w (k, taps) * x (taps, pixels).
class ImplicitForward : public ImplicitConv {
 public:
  ImplicitForward(const ConvShape& s, Isa isa)
      : ImplicitConv(s, isa),
        taps_(g_.Taps()),
        ones_(Multiples(g_.taps, 1)),
        w_rows_(Multiples(g_.group_k, g_.taps)),
        y_rows_(Multiples(g_.group_k, g_.pixels)),
        copies_(g_.padded || !segments_.whole),
        slot_size_(copies_ ? RoundUp(g_.group_c * g_.plane + table_.lanes, 16) : 0) {}

  size_t scratch_bytes() const override {
    return static_cast<size_t>(slots_ * slot_size_) * sizeof(float);
  }

  void Run(const ConvBuffers& b) override {
    ForEachPicture(b, slot_size_, [&](int64_t n, int64_t group, float* slot) {
      const float* x = static_cast<const float*>(b.x) + X(n, group);
      if (copies_) g_.Pad(x, slot);
      IndexedProduct p{};
      p.rows = g_.group_k;
      p.vectors = Vectors();
      p.steps = g_.taps;
      p.a = static_cast<const float*>(b.weights) + group * g_.group_k * g_.taps;
      p.a_row = w_rows_.data();
      p.a_step = ones_.data();
      p.b = copies_ ? slot : x;
      p.b_vector = segments_.x.data();
      p.b_step = taps_.data();
      p.c = static_cast<float*>(b.y) + Y(n, group);
      p.c_row = y_rows_.data();
      p.c_vector = segments_.y.data();
      p.c_lane = 1;
      p.lanes = segments_.lanes.data();
      const float* bias = static_cast<const float*>(b.bias);
      p.bias = bias != nullptr ? bias + group * g_.group_k : nullptr;
      p.relu = b.activation == Activation::kRelu;
      table_.product(p);
    });
  }

 private:
  const Offsets taps_, ones_, w_rows_, y_rows_;
  const bool copies_;
  const int64_t slot_size_;
};

// For each place (r, q) of the filter, dx (c, pixels moved by it) += w (c, k) * dy (k, pixels).
// One place after the other: the sums of neighbouring places overlap in memory.
class ImplicitBackwardData : public ImplicitConv {
 public:
  ImplicitBackwardData(const ConvShape& s, Isa isa, bool may_skip_zeros)
      : ImplicitConv(s, isa),
        ones_(Multiples(g_.group_k, 1)),
        w_rows_(Multiples(g_.group_c, g_.group_k)),
        dx_rows_(Multiples(g_.group_c, g_.plane)),
        dy_steps_(Multiples(g_.group_k, g_.pixels)),
        dx_size_(g_.padded ? RoundUp(g_.group_c * g_.plane, 16) : 0),
        dy_size_(segments_.whole ? 0 : RoundUp(g_.group_k * g_.pixels + table_.lanes, 16)),
        prepared_size_(RoundUp(g_.s.k * g_.taps, 16)),
        sparse_(g_, isa, Channels::kFirst, may_skip_zeros) {}

  size_t scratch_bytes() const override {
    const int64_t slot = std::max(dx_size_ + dy_size_, sparse_.fits() ? sparse_.slot_size() : 0);
    return static_cast<size_t>(slots_ * slot) * sizeof(float);
  }
  size_t prepared_bytes() const override {
    const int64_t sparse = sparse_.fits() ? sparse_.prepared_size() : 0;
    return static_cast<size_t>(prepared_size_ + sparse) * sizeof(float);
  }
  // To (group, place, c, k), and to what the sparse pass wants.
  void PrepareWeights(const void* weights, void* prepared) override {
    if (sparse_.fits()) {
      sparse_.PrepareWeights(static_cast<const float*>(weights),
                             static_cast<float*>(prepared) + prepared_size_);
    }
    const int64_t places = g_.s.kh * g_.s.kw, per_group = g_.group_k * g_.taps;
    ParallelFor(g_.s.groups * places, 4, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const float* from =
            static_cast<const float*>(weights) + i / places * per_group + i % places;
        float* to = static_cast<float*>(prepared) + i * g_.group_c * g_.group_k;
        for (int64_t c = 0; c < g_.group_c; ++c) {
          for (int64_t k = 0; k < g_.group_k; ++k) {
            to[c * g_.group_k + k] = from[k * g_.taps + c * places];
          }
        }
      }
    });
  }

  void Run(const ConvBuffers& b) override {
    const float* weights = static_cast<const float*>(b.weights);
    if (sparse_.Pays(static_cast<const float*>(b.y), weights, g_.s.k * g_.taps)) {
      ForEachPicture(b, sparse_.slot_size(), [&](int64_t n, int64_t, float* slot) {
        sparse_.Run(weights + prepared_size_, static_cast<const float*>(b.y) + Y(n, 0),
                    Listed::kNonzeros, static_cast<float*>(b.x) + X(n, 0), slot);
      });
      return;
    }
    ForEachPicture(b, dx_size_ + dy_size_, [&](int64_t n, int64_t group, float* slot) {
      float* dx = static_cast<float*>(b.x) + X(n, group);
      const float* dy = static_cast<const float*>(b.y) + Y(n, group);
      float* target = g_.padded ? slot : dx;
      std::fill(target, target + g_.group_c * g_.plane, 0.0F);
      if (!segments_.whole) {
        std::copy(dy, dy + g_.group_k * g_.pixels, slot + dx_size_);
        dy = slot + dx_size_;
      }
      AddPlaces(weights + group * g_.group_k * g_.taps, dy, target);
      if (g_.padded) g_.Unpad(target, dx);
    });
  }

 private:
  void AddPlaces(const float* weights, const float* dy, float* target) const {
    IndexedProduct p{};
    p.rows = g_.group_c;
    p.vectors = Vectors();
    p.steps = g_.group_k;
    p.a_row = w_rows_.data();
    p.a_step = ones_.data();
    p.b = dy;
    p.b_vector = segments_.y.data();
    p.b_step = dy_steps_.data();
    p.c_row = dx_rows_.data();
    p.c_vector = segments_.x.data();
    p.c_lane = 1;
    p.lanes = segments_.lanes.data();
    p.accumulate = true;
    for (int64_t place = 0; place < g_.s.kh * g_.s.kw; ++place) {
      p.a = weights + place * g_.group_c * g_.group_k;
      p.c = target + g_.Filter(place / g_.s.kw, place % g_.s.kw);
      table_.product(p);
    }
  }

  const Offsets ones_, w_rows_, dx_rows_, dy_steps_;
  const int64_t dx_size_, dy_size_;  // of a slot
  const int64_t prepared_size_;
  const SparseData sparse_;
};

// dw^T (taps, k) += x (taps, pixels) * dy^T (pixels, k), some pictures at a time. Rows of dw^T and
// dy^T are padded to whole vectors, whose unused lanes hold anything.
class ImplicitBackwardWeights : public ImplicitConv {
 public:
  ImplicitBackwardWeights(const ConvShape& s, Isa isa, bool may_skip_zeros)
      : ImplicitConv(s, isa),
        pictures_(g_.SummedPictures()),
        k_row_(RoundUp(g_.group_k, table_.lanes)),
        parts_(SumParts(s.n, static_cast<size_t>(part_size()) * sizeof(float))),
        picture_size_(g_.padded ? g_.group_c * g_.plane : s.c * s.h * s.w),
        taps_(g_.Taps()),
        dy_steps_(Multiples(pictures_ * g_.pixels, panel())),
        k_vectors_(Multiples(2, table_.lanes)),
        dw_rows_(Multiples(g_.taps, k_row_)),
        k_lanes_(k_vectors_.size(), table_.lanes),
        sparse_(g_, isa, Channels::kFirst, may_skip_zeros) {
    for (int64_t i = 0; i < pictures_ * g_.pixels; ++i) {
      const int64_t pixel = i % g_.pixels;
      pixels_.push_back(i / g_.pixels * picture_size_ +
                        g_.Pixel(pixel / s.out_w(), pixel % s.out_w()));
    }
  }

  size_t scratch_bytes() const override {
    int64_t size = slots_ * slot_size() + parts_ * part_size();
    if (sparse_.fits()) {
      size = std::max(size, sparse_.scratch_size(parts_, slots_));
    }
    return static_cast<size_t>(size) * sizeof(float);
  }

  void Run(const ConvBuffers& b) override {
    const float* x = static_cast<const float*>(b.x);
    if (sparse_.Pays(static_cast<const float*>(b.y), x, g_.s.n * g_.s.c * g_.s.h * g_.s.w)) {
      sparse_.Run(x, static_cast<const float*>(b.y), Listed::kNonzeros, parts_, slots_,
                  static_cast<float*>(b.scratch), static_cast<float*>(b.dw));
      return;
    }
    float* sums = static_cast<float*>(b.scratch) + slots_ * slot_size();
    ForEachOnSlots(
        parts_, static_cast<float*>(b.scratch), slots_, slot_size(),
        [&](int64_t part, float* slot) { SumPart(b, part, sums + part * part_size(), slot); });
    ParallelFor(g_.taps, 32, [&](int64_t begin, int64_t end) {
      for (int64_t group = 0; group < g_.s.groups; ++group) {
        Finish(sums, group, begin, end, static_cast<float*>(b.dw));
      }
    });
  }

 private:
  int64_t group_size() const { return g_.taps * k_row_; }
  int64_t part_size() const { return g_.s.groups * group_size(); }
  int64_t x_size() const { return g_.padded ? RoundUp(pictures_ * picture_size_, 16) : 0; }
  int64_t panel() const { return 2 * table_.lanes; }
  int64_t slot_size() const {
    return RoundUp(x_size() + pictures_ * g_.pixels * RoundUp(k_row_, panel()), 16);
  }

  void SumPart(const ConvBuffers& b, int64_t part, float* dw, float* slot) const {
    std::fill(dw, dw + part_size(), 0.0F);
    const int64_t end = g_.s.n * (part + 1) / parts_;
    for (int64_t n = g_.s.n * part / parts_; n < end; n += pictures_) {
      for (int64_t group = 0; group < g_.s.groups; ++group) {
        AddPictures(b, n, std::min(pictures_, end - n), group, dw + group * group_size(), slot);
      }
    }
  }

  void AddPictures(const ConvBuffers& b, int64_t n, int64_t pictures, int64_t group, float* dw,
                   float* slot) const {
    const float* x = static_cast<const float*>(b.x) + X(n, group);
    float* dy = slot + x_size();
    for (int64_t i = 0; i < pictures; ++i) {
      if (g_.padded) {
        g_.Pad(static_cast<const float*>(b.x) + X(n + i, group), slot + i * picture_size_);
      }
      PackGradient(static_cast<const float*>(b.y) + Y(n + i, group), i, dy);
    }
    IndexedProduct p{};
    p.rows = g_.taps;
    p.steps = pictures * g_.pixels;
    p.a = g_.padded ? slot : x;
    p.a_row = taps_.data();
    p.a_step = pixels_.data();
    p.b_vector = k_vectors_.data();
    p.b_step = dy_steps_.data();
    p.c_row = dw_rows_.data();
    p.c_vector = k_vectors_.data();
    p.c_lane = 1;
    p.lanes = k_lanes_.data();
    p.accumulate = true;
    for (int64_t k = 0; k < k_row_; k += panel()) {
      p.vectors = std::min<int64_t>(2, (k_row_ - k) / table_.lanes);
      p.b = dy + k * pictures_ * g_.pixels;
      p.c = dw + k;
      table_.product(p);
    }
  }

  // dy^T of one picture, in panels of two vectors: each stays in the L1 cache while it is used.
  void PackGradient(const float* y, int64_t picture, float* dy) const {
    for (int64_t k = 0; k < g_.group_k; k += panel()) {
      float* to = dy + k * pictures_ * g_.pixels + picture * g_.pixels * panel();
      table_.transpose(y + k * g_.pixels, g_.pixels, std::min(panel(), g_.group_k - k), g_.pixels,
                       to, panel());
    }
  }

  // Rows [begin, end) of one group: the sum of all parts, transposed.
  void Finish(float* sums, int64_t group, int64_t begin, int64_t end, float* dw) const {
    float* rows = sums + group * group_size() + begin * k_row_;
    for (int64_t part = 1; part < parts_; ++part) {
      const float* more = rows + part * part_size();
      for (int64_t i = 0; i < (end - begin) * k_row_; ++i) rows[i] += more[i];
    }
    table_.transpose(rows, k_row_, end - begin, g_.group_k,
                     dw + group * g_.group_k * g_.taps + begin, g_.taps);
  }

  const int64_t pictures_;  // summed by one product
  const int64_t k_row_;     // length of a row of the transposed dy
  const int64_t parts_;
  const int64_t picture_size_;  // from a picture to the next one
  const Offsets taps_, dy_steps_, k_vectors_, dw_rows_, k_lanes_;
  const SparseWeights sparse_;
  Offsets pixels_;
};

}  // namespace

bool CanRunImplicitConv(const ConvShape& s, Layout x, Layout y) {
  return s.dtype == DType::kFloat32 && x.block == 1 && y.block == 1 && s.stride_w == 1;
}

std::unique_ptr<ConvKernel> MakeImplicitConv(const ConvShape& shape, ConvPass pass, Isa isa,
                                             bool may_skip_zeros) {
  switch (pass) {
    case ConvPass::kForward:
      return std::make_unique<ImplicitForward>(shape, isa);
    case ConvPass::kBackwardData:
      return std::make_unique<ImplicitBackwardData>(shape, isa, may_skip_zeros);
    case ConvPass::kBackwardWeights:
      break;
  }
  return std::make_unique<ImplicitBackwardWeights>(shape, isa, may_skip_zeros);
}

}  // namespace lockstep::cpu
