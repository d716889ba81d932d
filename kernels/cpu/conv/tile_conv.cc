#include "kernels/cpu/conv/tile_conv.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include "kernels/cpu/amx/conv.h"
#include "kernels/cpu/amx/product.h"
#include "kernels/cpu/conv/im2col_conv.h"
#include "kernels/cpu/conv/work.h"

namespace lockstep::cpu {
namespace {

using Offsets = std::vector<int64_t>;

constexpr int64_t kResidentBytes = 1 << 20;  // packed weights, or sums: stay in the L2 cache
constexpr int64_t kTaskPixels = 256;  // of pictures that are done at once, where they are small
constexpr int64_t kSumPixels = 64;    // the same for a weight gradient
constexpr int64_t kPieces = 3;        // of a float32
constexpr int64_t kSplitBytes = 32 << 20;  // of pictures in pieces, for one thread
constexpr int64_t kEdge = 2 * amx::kPanelLines;
constexpr int64_t kFloatBytes = sizeof(float);

int64_t PackedBytes(int64_t lines, int64_t blocks) {
  return CeilDiv(lines, amx::kPanelLines) * blocks * amx::kPackedBlockBytes;
}
int64_t SumsSize(int64_t filters, int64_t elements) {
  return CeilDiv(filters, kEdge) * CeilDiv(elements, kEdge) * kEdge * kEdge;
}

// A picture (h, w, c) with its padding around it, in elements.
struct Geometry {
  explicit Geometry(const ConvShape& shape)
      : s(shape),
        elements(s.kh * s.kw * s.c),
        pixels(s.out_h() * s.out_w()),
        row((s.w + 2 * s.pad_w) * s.c),
        picture((s.h + 2 * s.pad_h) * row),
        padded(s.pad_h > 0 || s.pad_w > 0),
        x_size(s.h * s.w * s.c),
        y_size(pixels * s.k) {}

  amx::PaddedRows Rows() const { return {s.h, s.w * s.c, s.pad_w * s.c, s.pad_h}; }
  // What the filter reads first for output pixel (h, w).
  int64_t Place(int64_t h, int64_t w) const { return h * s.stride_h * row + w * s.stride_w * s.c; }
  // For all output pixels of some pictures, and the last one's again for whole squares of them.
  Offsets Places(int64_t pictures) const {
    Offsets places;
    for (int64_t all = 0; all < RoundUp(pictures * pixels, kEdge); ++all) {
      const int64_t i = std::min(all, pictures * pixels - 1), pixel = i % pixels;
      places.push_back(i / pixels * picture + Place(pixel / s.out_w(), pixel % s.out_w()));
    }
    return places;
  }
  // Of the elements (kh, kw, c) that the filter reads, from the first one.
  Offsets Elements() const {
    Offsets offsets;
    for (int64_t e = 0; e < elements; ++e) {
      const int64_t place = e / s.c;
      offsets.push_back(place / s.kw * s.dilation_h * row + place % s.kw * s.dilation_w * s.c +
                        e % s.c);
    }
    return offsets;
  }
  // Of the same elements in plain weights (k, c, kh, kw).
  std::vector<int32_t> InWeights() const {
    std::vector<int32_t> offsets;
    for (int64_t e = 0; e < elements; ++e) {
      offsets.push_back(static_cast<int32_t>(e % s.c * s.kh * s.kw + e / s.c));
    }
    return offsets;
  }
  // Of every filter in plain weights.
  std::vector<int32_t> Filters() const {
    std::vector<int32_t> offsets;
    for (int64_t k = 0; k < s.k; ++k) offsets.push_back(static_cast<int32_t>(k * elements));
    return offsets;
  }

  ConvShape s;
  int64_t elements, pixels;
  int64_t row, picture;  // padded
  bool padded;
  int64_t x_size, y_size;  // of one picture
};

// Offsets cut into vectors and these into runs of neighbours.
class Vectors {
 public:
  Vectors(const Offsets& offsets, int64_t lanes) {
    for (size_t i = 0; i < offsets.size(); ++i) {
      const int64_t lane = static_cast<int64_t>(i) % lanes, offset = offsets[i] - lane;
      if (lane == 0) first_.push_back(static_cast<int64_t>(segments_.size()));
      if (lane == 0 || segments_.back().offset != offset) segments_.push_back({offset, 0});
      segments_.back().lanes |= uint32_t{1} << lane;
    }
    first_.push_back(static_cast<int64_t>(segments_.size()));
    for (size_t v = 1; v < first_.size(); ++v) most_ = std::max(most_, first_[v] - first_[v - 1]);
  }
  amx::FilterVectors get() const { return {segments_.data(), first_.data(), most_}; }

 private:
  std::vector<amx::Segment> segments_;
  Offsets first_;
  int64_t most_ = 0;
};

// What forward and backward data share: pictures are done on their own, against packed weights.
class PictureTileConv : public ConvKernel {
 public:
  size_t scratch_bytes() const override {
    return std::max(static_cast<size_t>(slots_ * slot_bytes_ + packed_bytes_),
                    alone_->scratch_bytes());
  }
  size_t prepared_bytes() const override { return 0; }
  void PrepareWeights(const void*, void*) override {}

  void Run(const ConvBuffers& b) override {
    char* const slots = static_cast<char*>(b.scratch);
    char* const packed = slots + slots_ * slot_bytes_;
    const bool weights_held = Pack(static_cast<const float*>(b.weights), packed);
    std::fill(held_.begin(), held_.end(), weights_held ? 1 : 0);
    if (weights_held) {
      ForEachOnSlots(CeilDiv(g_.s.n, pictures_), slots, slots_, slot_bytes_,
                     [&](int64_t task, char* slot) {
                       const int64_t n = task * pictures_;
                       RunPictures(b, n, std::min(pictures_, g_.s.n - n), packed, slot);
                     });
    }
    for (int64_t n = 0; n < g_.s.n; ++n) {
      if (held_[static_cast<size_t>(n)] == 0) RunAlone(b, n);
    }
  }

 protected:
  // A task does as many pictures as make up `task_pixels` output pixels, at least one, and leaves
  // some to the other threads.
  PictureTileConv(const CpuGemm* gemm, const ConvShape& s, ConvPass pass, int64_t task_pixels)
      : g_(s),
        pictures_(std::clamp<int64_t>(task_pixels / g_.pixels, 1, CeilDiv(s.n, GetThreads()))),
        places_(g_.Places(pictures_)),
        slots_(MaxSlots(CeilDiv(s.n, pictures_))),
        held_(static_cast<size_t>(s.n)) {
    ConvShape one = s;
    one.n = 1;
    alone_ = MakeIm2colConv(gemm, one, pass, {s.c}, {s.k});
  }

  // Steps i and `distance` behind it become a pair, by blocks.
  void SetWeights(std::vector<int32_t> lines, const std::vector<int32_t>& steps, int64_t distance,
                  int64_t slot_bytes) {
    line_offsets_ = std::move(lines);
    blocks_ = CeilDiv(static_cast<int64_t>(steps.size()), amx::kBlockSteps);
    for (int64_t i = 0; i < blocks_ * amx::kBlockSteps / 2; ++i) {
      const int64_t pairs = amx::kBlockSteps / 2, block = i / pairs * amx::kBlockSteps;
      const int64_t first = block + (distance == 1 ? 2 * (i % pairs) : i % pairs);
      for (const int64_t step : {first, first + distance}) {
        const bool exists = step < static_cast<int64_t>(steps.size());
        step_offsets_.push_back(exists ? steps[static_cast<size_t>(step)] : -1);
      }
    }
    packed_bytes_ = PackedBytes(static_cast<int64_t>(line_offsets_.size()), blocks_);
    slot_bytes_ = RoundUp(slot_bytes, 64);
  }
  void SetHeld(int64_t n, bool held) { held_[static_cast<size_t>(n)] = held ? 1 : 0; }

  // Pictures [n, n + pictures), and SetHeld() of each.
  virtual void RunPictures(const ConvBuffers& b, int64_t n, int64_t pictures, const char* weights,
                           char* slot) = 0;

  const Geometry g_;
  const int64_t pictures_;  // of one task
  const Offsets places_;
  int64_t blocks_ = 0;

 private:
  bool Pack(const float* weights, char* packed) const {
    const auto lines = static_cast<int64_t>(line_offsets_.size());
    const amx::TileWeights all{weights, line_offsets_.data(), step_offsets_.data(), lines, blocks_};
    std::atomic<bool> held = true;
    ParallelFor(CeilDiv(lines, amx::kPanelLines), 1, [&](int64_t begin, int64_t end) {
      if (!amx::PackWeights(all, begin, end, packed)) held = false;
    });
    return held;
  }
  void RunAlone(const ConvBuffers& b, int64_t n) {
    ConvBuffers one = b;
    one.x = static_cast<float*>(b.x) + n * g_.x_size;
    one.y = static_cast<float*>(b.y) + n * g_.y_size;
    alone_->Run(one);
  }

  std::vector<int32_t> line_offsets_, step_offsets_;
  int64_t packed_bytes_ = 0, slot_bytes_ = 0;
  const int64_t slots_;
  std::vector<uint8_t> held_;  // by pictures; not bool, which threads could not write on their own
  std::unique_ptr<ConvKernel> alone_;
};

class TileForwardConv : public PictureTileConv {
 public:
  TileForwardConv(const CpuGemm* gemm, const ConvShape& s)
      : PictureTileConv(gemm, s, ConvPass::kForward, kTaskPixels),
        elements_(g_.Elements(), amx::kBlockSteps),
        piece_(pictures_ * g_.picture + 32) {
    SetWeights(g_.Filters(), g_.InWeights(), 1,
               kPieces * piece_ * static_cast<int64_t>(sizeof(uint16_t)));
  }

 private:
  void RunPictures(const ConvBuffers& b, int64_t n, int64_t pictures, const char* weights,
                   char* slot) override {
    auto* const planes = reinterpret_cast<uint16_t*>(slot);
    if (g_.padded) std::fill(planes, planes + kPieces * piece_, uint16_t{0});
    for (int64_t i = 0; i < pictures; ++i) {
      const float* x = static_cast<const float*>(b.x) + (n + i) * g_.x_size;
      SetHeld(n + i, amx::SplitRows(g_.Rows(), x, piece_, planes + i * g_.picture));
    }
    amx::TileForward work{};
    work.planes = planes;
    work.piece = piece_;
    work.places = places_.data();
    work.elements = elements_.get();
    work.weights = weights;
    work.pixels = pictures * g_.pixels;
    work.filters = g_.s.k;
    work.blocks = blocks_;
    work.y = static_cast<float*>(b.y) + n * g_.y_size;
    work.bias = static_cast<const float*>(b.bias);
    work.relu = b.activation == Activation::kRelu;
    amx::RunForward(work);
  }

  const Vectors elements_;
  const int64_t piece_;
};

class TileBackwardDataConv : public PictureTileConv {
 public:
  TileBackwardDataConv(const CpuGemm* gemm, const ConvShape& s)
      // Picture by picture: the order of its sums follows from the tiles that its pixels share.
      : PictureTileConv(gemm, s, ConvPass::kBackwardData, 0), vectors_(g_.Elements(), 16) {
    SetWeights(g_.InWeights(), g_.Filters(), amx::kBlockSteps / 2,
               g_.padded ? pictures_ * g_.picture * kFloatBytes : 0);
  }

 private:
  void RunPictures(const ConvBuffers& b, int64_t n, int64_t pictures, const char* weights,
                   char* slot) override {
    float* const dx = static_cast<float*>(b.x) + n * g_.x_size;
    float* const target = g_.padded ? reinterpret_cast<float*>(slot) : dx;
    std::fill(target, target + pictures * g_.picture, 0.0F);
    const float* const dy = static_cast<const float*>(b.y) + n * g_.y_size;
    for (int64_t i = 0; i < pictures; ++i) {
      SetHeld(n + i, amx::HoldsAll(dy + i * g_.y_size, 1, 0, g_.y_size, 1));
    }
    amx::TileBackwardData work{};
    work.dy = dy;
    work.weights = weights;
    work.pixels = pictures * g_.pixels;
    work.filters = g_.s.k;
    work.elements = g_.elements;
    work.dx = target;
    work.places = places_.data();
    work.vectors = vectors_.get();
    amx::RunBackwardData(work);
    if (g_.padded) {
      for (int64_t i = 0; i < pictures; ++i) Unpad(target + i * g_.picture, dx + i * g_.x_size);
    }
  }
  void Unpad(const float* padded, float* dx) const {
    const amx::PaddedRows rows = g_.Rows();
    for (int64_t h = 0; h < rows.rows; ++h) {
      const float* row = padded + (rows.pad_rows + h) * g_.row + rows.pad;
      std::copy(row, row + rows.width, dx + h * rows.width);
    }
  }

  const Vectors vectors_;
};

// Pictures in parts, whose sums are added up in their order.
class TileBackwardWeightsConv : public ConvKernel {
 public:
  TileBackwardWeightsConv(const CpuGemm* gemm, const ConvShape& s)
      : g_(s),
        pictures_(std::clamp<int64_t>(kSumPixels / g_.pixels, 1, s.n)),
        piece_(RoundUp(pictures_ * g_.picture + 16, 16)),
        vectors_(g_.Elements(), 16),
        in_weights_(g_.InWeights()),
        parts_(SumParts(s.n, static_cast<size_t>(weights_size() * kFloatBytes))),
        slots_(MaxSlots(parts_)),
        all_(MakeIm2colConv(gemm, s, ConvPass::kBackwardWeights, {s.c}, {s.k})) {
    const int64_t row_pairs = CeilDiv(s.out_w(), 2);
    for (int64_t i = 0; i < pictures_ * s.out_h() * row_pairs; ++i) {
      const int64_t row = i / row_pairs, w = i % row_pairs * 2, pixel = row * s.out_w() + w;
      places_.push_back(row / s.out_h() * g_.picture + g_.Place(row % s.out_h(), w));
      first_rows_.push_back(pixel);
      second_rows_.push_back(w + 1 < s.out_w() ? pixel + 1 : -1);
    }
    places_.resize(static_cast<size_t>(RoundUp(std::ssize(places_), amx::kPanelLines)),
                   places_.back());
  }

  size_t scratch_bytes() const override {
    return std::max(
        static_cast<size_t>(slots_ * slot_bytes() + parts_ * weights_size() * kFloatBytes),
        all_->scratch_bytes());
  }
  size_t prepared_bytes() const override { return 0; }
  void PrepareWeights(const void*, void*) override {}

  void Run(const ConvBuffers& b) override {
    char* const slots = static_cast<char*>(b.scratch);
    auto* const sums = reinterpret_cast<float*>(slots + slots_ * slot_bytes());
    std::atomic<bool> held = true;
    ForEachOnSlots(parts_, slots, slots_, slot_bytes(), [&](int64_t part, char* slot) {
      if (!SumPart(b, part, slot, sums + part * weights_size())) held = false;
    });
    if (!held) {
      all_->Run(b);
      return;
    }
    ParallelFor(g_.s.k, 8, [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) {
        Finish(sums + k * g_.elements, static_cast<float*>(b.dw) + k * g_.elements);
      }
    });
  }

 private:
  int64_t weights_size() const { return g_.s.k * g_.elements; }
  int64_t planes_bytes() const { return kPieces * piece_ * static_cast<int64_t>(sizeof(uint32_t)); }
  int64_t packed_bytes() const { return PackedBytes(g_.s.k, amx::kMaxGradientBlocks); }
  int64_t slot_bytes() const {
    return planes_bytes() + packed_bytes() + SumsSize(g_.s.k, g_.elements) * kFloatBytes;
  }

  bool SumPart(const ConvBuffers& b, int64_t part, char* slot, float* dw) const {
    auto* const planes = reinterpret_cast<uint32_t*>(slot);
    const int64_t begin = g_.s.n * part / parts_, end = g_.s.n * (part + 1) / parts_;
    // Where there are no pictures there are numbers: what is beside them is multiplied with 0.
    if (g_.padded || (end - begin) % pictures_ != 0) {
      std::fill(planes, planes + kPieces * piece_, 0U);
    }
    amx::TileBackwardWeights work{};
    work.planes = planes;
    work.piece = piece_;
    work.places = places_.data();
    work.first_rows = first_rows_.data();
    work.second_rows = second_rows_.data();
    work.vectors = vectors_.get();
    work.filters = g_.s.k;
    work.elements = g_.elements;
    work.first = true;
    work.packed = slot + planes_bytes();
    work.sums = reinterpret_cast<float*>(work.packed + packed_bytes());
    bool held = true;
    for (int64_t n = begin; n < end; n += pictures_) {
      const int64_t pictures = std::min(pictures_, end - n);
      for (int64_t i = 0; i < pictures; ++i) {
        const float* x = static_cast<const float*>(b.x) + (n + i) * g_.x_size;
        held &= amx::SplitRowsInPairs(g_.Rows(), x, g_.s.stride_w * g_.s.c, piece_,
                                      planes + i * g_.picture);
      }
      work.pairs = pictures * g_.s.out_h() * CeilDiv(g_.s.out_w(), 2);
      work.dy = static_cast<const float*>(b.y) + n * g_.y_size;
      held &= amx::AddToWeights(work);
      work.first = false;
    }
    amx::StoreWeights(work.sums, g_.s.k, g_.elements, dw);
    return held;
  }

  // One filter: the sum of all parts, (kh, kw, c) to (c, kh, kw).
  void Finish(float* sums, float* dw) const {
    for (int64_t part = 1; part < parts_; ++part) {
      const float* more = sums + part * weights_size();
      for (int64_t e = 0; e < g_.elements; ++e) sums[e] += more[e];
    }
    for (int64_t e = 0; e < g_.elements; ++e) dw[in_weights_[static_cast<size_t>(e)]] = sums[e];
  }

  const Geometry g_;
  const int64_t pictures_;  // summed at once
  const int64_t piece_;
  const Vectors vectors_;
  const std::vector<int32_t> in_weights_;
  const int64_t parts_, slots_;
  Offsets places_, first_rows_, second_rows_;
  const std::unique_ptr<ConvKernel> all_;
};

}  // namespace

bool CanRunTileConv(const ConvShape& s, Layout x, Layout y, Isa isa) {
  if (isa != Isa::kAmx || s.dtype != DType::kFloat32 || s.groups != 1) return false;
  if (x.block != s.c || y.block != s.k || s.k > amx::kMaxTileFilters) return false;
  const Geometry g(s);
  const int64_t pictures = std::max<int64_t>(1, kSumPixels / g.pixels);
  if (pictures * g.picture > kSplitBytes / (kPieces * int64_t{sizeof(uint32_t)})) return false;
  const int64_t element_blocks = CeilDiv(g.elements, amx::kBlockSteps);
  const int64_t filter_blocks = CeilDiv(s.k, amx::kBlockSteps);
  return g.elements <= kResidentBytes && PackedBytes(s.k, element_blocks) <= kResidentBytes &&
         PackedBytes(g.elements, filter_blocks) <= kResidentBytes &&
         SumsSize(s.k, g.elements) * kFloatBytes <= kResidentBytes;
}

std::unique_ptr<ConvKernel> MakeTileConv(const CpuGemm* gemm, const ConvShape& shape,
                                         ConvPass pass) {
  switch (pass) {
    case ConvPass::kForward:
      return std::make_unique<TileForwardConv>(gemm, shape);
    case ConvPass::kBackwardData:
      return std::make_unique<TileBackwardDataConv>(gemm, shape);
    case ConvPass::kBackwardWeights:
      break;
  }
  return std::make_unique<TileBackwardWeightsConv>(gemm, shape);
}

}  // namespace lockstep::cpu
