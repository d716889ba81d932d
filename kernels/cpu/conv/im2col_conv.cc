#include "kernels/cpu/conv/im2col_conv.h"

#include <algorithm>

#include "kernels/cpu/conv/lower.h"
#include "kernels/cpu/conv/picture.h"
#include "kernels/cpu/conv/work.h"

namespace lockstep::cpu {
namespace {

constexpr int64_t kColumnsBytes = 192 * 1024;  // of a chunk's lowered matrix: stays in the L2 cache
constexpr int64_t kMinPixels = 32;             // of a chunk, else products have too short rows
constexpr int64_t kMaxPixels = 512;

// How the output pixels of all pictures are cut: a chunk is either a part of one picture or some
// whole pictures.
struct Chunks {
  int64_t pixels;        // of one picture
  int64_t pictures;      // of one chunk
  int64_t pieces;        // of one picture
  int64_t groups;        // of pictures: CeilDiv(n, pictures)
  int64_t chunk_pixels;  // of the largest chunk

  Chunks(const ConvShape& s, int64_t element_bytes) : pixels(s.out_h() * s.out_w()) {
    const int64_t taps = s.c / s.groups * s.kh * s.kw;
    const int64_t wanted =
        std::clamp(kColumnsBytes / (taps * element_bytes), kMinPixels, kMaxPixels);
    pictures = std::clamp<int64_t>(pixels >= 2 * kMinPixels ? 1 : wanted / pixels, 1, s.n);
    pieces = CeilDiv(pixels, std::max(wanted, kMinPixels));
    groups = CeilDiv(s.n, pictures);
    chunk_pixels = pictures * RoundUp(CeilDiv(pixels, pieces), pieces > 1 ? 16 : 1);
  }
};

struct Chunk {
  int64_t n, pictures;  // whole pictures when pictures > 1
  int64_t begin, end;   // pixels of each
  int64_t pixels() const { return pictures * (end - begin); }
};

template <typename T>
class Im2colConv : public ConvKernel {
 public:
  Im2colConv(const CpuGemm* gemm, const ConvShape& s, ConvPass pass, Layout x, Layout y)
      : gemm_(gemm),
        s_(s),
        pass_(pass),
        x_(InputPicture(s, x)),
        y_(OutputPicture(s, y)),
        chunks_(s, sizeof(T)),
        taps_(s.c / s.groups * s.kh * s.kw),
        group_k_(s.k / s.groups),
        row_(RoundUp(chunks_.chunk_pixels, 16)),
        slots_(MaxSlots(chunks_.groups * chunks_.pieces)),
        parts_(SumParts(chunks_.groups * chunks_.pieces,
                        static_cast<size_t>(weights_size()) * sizeof(T))) {}

  size_t scratch_bytes() const override {
    const int64_t sums = pass_ == ConvPass::kBackwardWeights ? parts_ * weights_size() : 0;
    return static_cast<size_t>(slots_ * slot_size() + sums) * sizeof(T);
  }
  size_t prepared_bytes() const override { return 0; }
  void PrepareWeights(const void*, void*) override {}

  void Run(const ConvBuffers& b) override {
    switch (pass_) {
      case ConvPass::kForward:
        ForEachSlot(b, chunks_.groups * chunks_.pieces, [&](int64_t i, T* slot) {
          for (int64_t g = 0; g < s_.groups; ++g) Forward(b, At(i), g, slot);
        });
        break;
      case ConvPass::kBackwardData:
        ForEachSlot(b, chunks_.groups, [&](int64_t i, T* slot) { BackwardData(b, i, slot); });
        break;
      case ConvPass::kBackwardWeights:
        ForEachSlot(b, parts_, [&](int64_t i, T* slot) { SumPart(b, i, slot); });
        AddParts(Sums(b, 0), parts_, weights_size(), static_cast<T*>(b.dw));
        break;
    }
  }

 private:
  int64_t weights_size() const { return s_.k * taps_; }
  // One thread's buffers: the lowered matrix, then y of a chunk where it has to be gathered.
  int64_t slot_size() const { return RoundUp(row_ * (taps_ + group_k_), 16); }

  template <typename Body>
  void ForEachSlot(const ConvBuffers& b, int64_t tasks, Body&& body) const {
    ForEachOnSlots(tasks, static_cast<T*>(b.scratch), slots_, slot_size(), body);
  }

  Chunk At(int64_t index) const {
    const int64_t n = index / chunks_.pieces * chunks_.pictures;
    const int64_t length = chunks_.chunk_pixels / chunks_.pictures;
    const int64_t begin = std::min(index % chunks_.pieces * length, chunks_.pixels);
    return {n, std::min(chunks_.pictures, s_.n - n), begin,
            std::min(begin + length, chunks_.pixels)};
  }

  // y of a chunk and group as a matrix (channel, pixel): where it lies, or a copy.
  struct View {
    T* data;
    int64_t channel, pixel;  // strides
    bool copy;
  };
  View YView(const ConvBuffers& b, const Chunk& chunk, int64_t g, T* slot) const {
    T* y = static_cast<T*>(b.y);
    const int64_t block = y_.block, k0 = g * group_k_;
    const bool one_block = k0 / block == (k0 + group_k_ - 1) / block;
    const bool consecutive = chunk.pictures == 1 || block == s_.k;
    if (consecutive && (block == 1 || one_block)) {
      return {y + y_.Plane(chunk.n, k0) + chunk.begin * block, block == 1 ? chunks_.pixels : 1,
              block, false};
    }
    T* copy = slot + row_ * taps_;
    return block == 1 ? View{copy, row_, 1, true} : View{copy, 1, group_k_, true};
  }

  // each(y element, copy element, y step, copy step) for runs of `pixels` of one channel.
  template <typename Each>
  void ForEachChannel(const Chunk& chunk, int64_t g, const View& view, Each&& each) const {
    const int64_t pixels = chunk.end - chunk.begin;
    for (int64_t i = 0; i < chunk.pictures; ++i) {
      for (int64_t k = 0; k < group_k_; ++k) {
        each(y_.Plane(chunk.n + i, g * group_k_ + k) + chunk.begin * y_.block,
             k * view.channel + i * pixels * view.pixel, pixels);
      }
    }
  }
  void CopyOut(const ConvBuffers& b, const Chunk& chunk, int64_t g, const View& view) const {
    T* y = static_cast<T*>(b.y);
    ForEachChannel(chunk, g, view, [&](int64_t to, int64_t from, int64_t pixels) {
      for (int64_t p = 0; p < pixels; ++p) {
        y[to + p * y_.block] = view.data[from + p * view.pixel];
      }
    });
  }
  void CopyIn(const ConvBuffers& b, const Chunk& chunk, int64_t g, const View& view) const {
    const T* y = static_cast<const T*>(b.y);
    ForEachChannel(chunk, g, view, [&](int64_t from, int64_t to, int64_t pixels) {
      for (int64_t p = 0; p < pixels; ++p) {
        view.data[to + p * view.pixel] = y[from + p * y_.block];
      }
    });
  }

  // The chunk's columns of group g, pictures side by side.
  void LowerChunk(const ConvBuffers& b, const Chunk& chunk, int64_t g, T* columns) const {
    for (int64_t i = 0; i < chunk.pictures; ++i) {
      Lower(s_, x_, {chunk.n + i, g, chunk.begin, chunk.end}, static_cast<const T*>(b.x),
            columns + i * (chunk.end - chunk.begin), row_);
    }
  }

  // y (group_k, pixels) = w (group_k, taps) * columns (taps, pixels).
  void Forward(const ConvBuffers& b, const Chunk& chunk, int64_t g, T* slot) const {
    if (chunk.pixels() == 0) return;
    LowerChunk(b, chunk, g, slot);
    const View y = YView(b, chunk, g, slot);
    const T* w = static_cast<const T*>(b.weights) + g * group_k_ * taps_;
    const T* bias = static_cast<const T*>(b.bias);
    gemm_->Product(gemm::Product<T>{group_k_, chunk.pixels(), taps_, w, taps_, 1, slot, row_, 1,
                                    y.data, y.channel, y.pixel, false,
                                    bias != nullptr ? bias + g * group_k_ : nullptr, nullptr,
                                    b.activation == Activation::kRelu});
    if (y.copy) CopyOut(b, chunk, g, y);
  }

  // columns (taps, pixels) = w^T * dy, added up in dx.
  void BackwardData(const ConvBuffers& b, int64_t picture_group, T* slot) const {
    T* dx = static_cast<T*>(b.x);
    const int64_t n = picture_group * chunks_.pictures;
    const int64_t picture = s_.c * s_.h * s_.w;
    std::fill(dx + n * picture, dx + std::min(n + chunks_.pictures, s_.n) * picture, T{0});
    for (int64_t piece = 0; piece < chunks_.pieces; ++piece) {
      const Chunk chunk = At(picture_group * chunks_.pieces + piece);
      for (int64_t g = 0; g < s_.groups; ++g) BackwardDataChunk(b, chunk, g, slot);
    }
  }
  void BackwardDataChunk(const ConvBuffers& b, const Chunk& chunk, int64_t g, T* slot) const {
    if (chunk.pixels() == 0) return;
    const View dy = YView(b, chunk, g, slot);
    if (dy.copy) CopyIn(b, chunk, g, dy);
    const T* w = static_cast<const T*>(b.weights) + g * group_k_ * taps_;
    gemm_->Product(gemm::Product<T>{taps_, chunk.pixels(), group_k_, w, 1, taps_, dy.data,
                                    dy.channel, dy.pixel, slot, row_, 1, false, nullptr, nullptr,
                                    false});
    for (int64_t i = 0; i < chunk.pictures; ++i) {
      Raise(s_, x_, {chunk.n + i, g, chunk.begin, chunk.end}, slot + i * (chunk.end - chunk.begin),
            row_, static_cast<T*>(b.x));
    }
  }

  T* Sums(const ConvBuffers& b, int64_t part) const {
    return static_cast<T*>(b.scratch) + slots_ * slot_size() + part * weights_size();
  }

  // dw += dy (group_k, pixels) * columns^T over one part of the chunks.
  void SumPart(const ConvBuffers& b, int64_t part, T* slot) const {
    const int64_t chunks = chunks_.groups * chunks_.pieces;
    T* dw = Sums(b, part);
    std::fill(dw, dw + weights_size(), T{0});
    for (int64_t i = chunks * part / parts_; i < chunks * (part + 1) / parts_; ++i) {
      const Chunk chunk = At(i);
      for (int64_t g = 0; chunk.pixels() > 0 && g < s_.groups; ++g) {
        LowerChunk(b, chunk, g, slot);
        const View dy = YView(b, chunk, g, slot);
        if (dy.copy) CopyIn(b, chunk, g, dy);
        gemm_->Product(gemm::Product<T>{group_k_, taps_, chunk.pixels(), dy.data, dy.channel,
                                        dy.pixel, slot, 1, row_, dw + g * group_k_ * taps_, taps_,
                                        1, true, nullptr, nullptr, false});
      }
    }
  }

  const CpuGemm* gemm_;
  const ConvShape s_;
  const ConvPass pass_;
  const Picture x_, y_;
  const Chunks chunks_;
  const int64_t taps_;     // of one group's input channels
  const int64_t group_k_;  // output channels of a group
  const int64_t row_;      // length of a row of the lowered matrix
  const int64_t slots_;    // threads that can work at once
  const int64_t parts_;
};

}  // namespace

std::unique_ptr<ConvKernel> MakeIm2colConv(const CpuGemm* gemm, const ConvShape& shape,
                                           ConvPass pass, Layout x, Layout y) {
  if (shape.dtype == DType::kFloat64) {
    return std::make_unique<Im2colConv<double>>(gemm, shape, pass, x, y);
  }
  return std::make_unique<Im2colConv<float>>(gemm, shape, pass, x, y);
}

}  // namespace lockstep::cpu
