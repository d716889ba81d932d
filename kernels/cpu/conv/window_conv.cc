#include "kernels/cpu/conv/window_conv.h"

#include "kernels/cpu/conv/sparse_gradient.h"

namespace lockstep::cpu {
namespace {

class WindowBackwardData : public ConvKernel {
 public:
  WindowBackwardData(const ConvShape& s, Isa isa)
      : g_(s), slots_(MaxSlots(s.n)), sparse_(g_, isa, Channels::kLast) {}

  size_t scratch_bytes() const override {
    return static_cast<size_t>(slots_ * sparse_.slot_size()) * sizeof(float);
  }
  size_t prepared_bytes() const override {
    return static_cast<size_t>(sparse_.prepared_size()) * sizeof(float);
  }
  void PrepareWeights(const void* weights, void* prepared) override {
    sparse_.PrepareWeights(static_cast<const float*>(weights), static_cast<float*>(prepared));
  }

  void Run(const ConvBuffers& b) override {
    const auto* weights = static_cast<const float*>(b.weights);
    const Listed listed = sparse_.WhatCounts(weights, sparse_.prepared_size());
    const int64_t x_size = g_.s.c * g_.s.h * g_.s.w, y_size = g_.s.k * g_.pixels;
    ForEachOnSlots(g_.s.n, static_cast<float*>(b.scratch), slots_, sparse_.slot_size(),
                   [&](int64_t n, float* slot) {
                     sparse_.Run(weights, static_cast<const float*>(b.y) + n * y_size, listed,
                                 static_cast<float*>(b.x) + n * x_size, slot);
                   });
  }

 private:
  const Geometry g_;
  const int64_t slots_;
  const SparseData sparse_;
};

class WindowBackwardWeights : public ConvKernel {
 public:
  WindowBackwardWeights(const ConvShape& s, Isa isa)
      : g_(s),
        sparse_(g_, isa, Channels::kLast),
        parts_(SumParts(s.n, static_cast<size_t>(sparse_.part_size()) * sizeof(float))),
        slots_(MaxSlots(parts_)) {}

  size_t scratch_bytes() const override {
    return static_cast<size_t>(sparse_.scratch_size(parts_, slots_)) * sizeof(float);
  }
  size_t prepared_bytes() const override { return 0; }
  void PrepareWeights(const void*, void*) override {}

  void Run(const ConvBuffers& b) override {
    const auto* x = static_cast<const float*>(b.x);
    const Listed listed = sparse_.WhatCounts(x, g_.s.n * g_.s.c * g_.s.h * g_.s.w);
    sparse_.Run(x, static_cast<const float*>(b.y), listed, parts_, slots_,
                static_cast<float*>(b.scratch), static_cast<float*>(b.dw));
  }

 private:
  const Geometry g_;
  const SparseWeights sparse_;
  const int64_t parts_, slots_;
};

}  // namespace

bool CanRunWindowConv(const ConvShape& s, ConvPass pass, Layout x, Layout y, Isa isa) {
  return pass != ConvPass::kForward && s.dtype == DType::kFloat32 && x.block == s.c &&
         y.block == s.k && SparseGradient(Geometry(s), isa, Channels::kLast).fits();
}

std::unique_ptr<ConvKernel> MakeWindowConv(const ConvShape& shape, ConvPass pass, Isa isa) {
  if (pass == ConvPass::kBackwardData) return std::make_unique<WindowBackwardData>(shape, isa);
  return std::make_unique<WindowBackwardWeights>(shape, isa);
}

}  // namespace lockstep::cpu
