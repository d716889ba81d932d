#include "kernels/cpu/widening/conv.h"

#include <utility>

namespace lockstep::cpu {
namespace {

constexpr DType kWide = DType::kFloat32;

size_t PaddedBytes(size_t bytes) { return (bytes + 63) / 64 * 64; }
size_t WideBytes(int64_t size) { return PaddedBytes(static_cast<size_t>(size) * sizeof(float)); }

ConvShape Wide(ConvShape shape) {
  shape.dtype = AccumulatorOf(shape.dtype);
  return shape;
}

class WideningConvKernel final : public ConvKernel {
 public:
  WideningConvKernel(ElementwiseKernels& elementwise, const ConvShape& shape, ConvPass pass,
                     std::unique_ptr<ConvKernel> base)
      : elementwise_(elementwise),
        dtype_(shape.dtype),
        pass_(pass),
        base_(std::move(base)),
        x_size_(shape.n * shape.c * shape.h * shape.w),
        y_size_(shape.n * shape.k * shape.out_h() * shape.out_w()),
        w_size_(shape.k * (shape.c / shape.groups) * shape.kh * shape.kw),
        channels_(shape.k) {}

  size_t scratch_bytes() const override {
    return PaddedBytes(base_->scratch_bytes()) + WideBytes(x_size_) + WideBytes(y_size_) +
           WideBytes(channels_);
  }
  size_t prepared_bytes() const override {
    if (pass_ == ConvPass::kBackwardWeights) return 0;
    return PaddedBytes(base_->prepared_bytes()) + WideBytes(w_size_);
  }

  // Where the kernel reads the plain weights, what is prepared are these.
  void PrepareWeights(const void* weights, void* prepared) override {
    auto* const wide = static_cast<char*>(prepared) + PaddedBytes(base_->prepared_bytes());
    Widen(weights, w_size_, wide);
    if (base_->prepared_bytes() > 0) base_->PrepareWeights(wide, prepared);
  }

  void Run(const ConvBuffers& b) override {
    char* const x = static_cast<char*>(b.scratch) + PaddedBytes(base_->scratch_bytes());
    char* const y = x + WideBytes(x_size_);
    char* const bias = y + WideBytes(y_size_);
    ConvBuffers wide = b;
    wide.x = x;
    wide.y = y;
    if (pass_ != ConvPass::kBackwardData) Widen(b.x, x_size_, x);
    if (pass_ != ConvPass::kForward) Widen(b.y, y_size_, y);
    if (b.bias != nullptr) {
      Widen(b.bias, channels_, bias);
      wide.bias = bias;
    }
    base_->Run(wide);
    if (pass_ == ConvPass::kForward) elementwise_.Cast(kWide, dtype_, y_size_, y, b.y);
    if (pass_ == ConvPass::kBackwardData) elementwise_.Cast(kWide, dtype_, x_size_, x, b.x);
  }

 private:
  void Widen(const void* from, int64_t size, void* to) {
    elementwise_.Cast(dtype_, kWide, size, from, to);
  }

  ElementwiseKernels& elementwise_;
  DType dtype_;
  ConvPass pass_;
  std::unique_ptr<ConvKernel> base_;
  int64_t x_size_, y_size_, w_size_, channels_;
};

}  // namespace

std::vector<std::string> WideningConv::Algorithms(const ConvShape& shape, ConvPass pass, Layout x,
                                                  Layout y, bool exact) const {
  return base_.Algorithms(Wide(shape), pass, x, y, exact);
}

std::unique_ptr<ConvKernel> WideningConv::Make(const ConvShape& shape, ConvPass pass,
                                               const std::string& algorithm, Layout x,
                                               Layout y) const {
  std::unique_ptr<ConvKernel> base = base_.Make(Wide(shape), pass, algorithm, x, y);
  if (!IsHalf(shape.dtype)) return base;
  return std::make_unique<WideningConvKernel>(elementwise_, shape, pass, std::move(base));
}

std::vector<Layout> WideningConv::Layouts(int64_t c, DType dtype) const {
  return base_.Layouts(c, AccumulatorOf(dtype));
}

}  // namespace lockstep::cpu
