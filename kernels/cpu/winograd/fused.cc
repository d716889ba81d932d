// Forward and the data's gradient where the weights outweigh the pictures: the pictures are
// transformed first, then each thread takes its own outputs panel by panel, transforms the panel's
// weights in the second-level cache and uses them at once for all tiles.
#include <algorithm>

#include "kernels/cpu/winograd/plan.h"

namespace lockstep::cpu::winograd {
namespace {

constexpr int64_t kMaxDepth = 512;  // channels summed at once: bounds rounding errors
constexpr int64_t kMaxTiles = 128;  // transformed tiles at a time

// Transformed weights at a time. By the instruction set, not by the machine's cache: sums depend on
// it.
int64_t WeightBytes(const Plan& plan) { return (plan.isa->lanes == 16 ? 900 : 1800) << 10; }

class Fused : public ConvKernel {
 public:
  explicit Fused(const Plan& plan)
      : plan_(plan),
        backward_(plan.pass == ConvPass::kBackwardData),
        inputs_(backward_ ? plan.shape.k : plan.shape.c),
        outputs_(backward_ ? plan.shape.c : plan.shape.k),
        block_(std::min(plan.tiles(), kMaxTiles)) {
    const int64_t fit = WeightBytes(plan) / 4 / (plan.points() * kMaxPanel * plan.isa->lanes);
    depth_ = std::min(std::clamp<int64_t>(fit / 16 * 16, 16, kMaxDepth), inputs_);
    for (int64_t part = 0; part < plan.parts; ++part) {
      panels_.push_back(Panels(Part(plan.vectors(outputs_), plan.parts, part)));
    }
  }

  size_t scratch_bytes() const override {
    return static_cast<size_t>(input_floats() + plan_.parts * (sum_floats() + weight_floats())) * 4;
  }
  size_t prepared_bytes() const override { return 0; }
  void PrepareWeights(const void*, void*) override {}

  void Run(const ConvBuffers& buffers) override {
    for (int64_t t = 0; t < plan_.tiles(); t += block_) {
      RunBlock(buffers, {t, std::min(t + block_, plan_.tiles())});
    }
  }

 private:
  int64_t width() const { return kMaxPanel * plan_.isa->lanes; }
  int64_t input_floats() const { return plan_.PlaneFloats(block_, inputs_); }
  int64_t sum_floats() const { return plan_.PlaneFloats(block_, width()); }
  int64_t weight_floats() const { return plan_.points() * PointStride(depth_ * width()); }

  void RunBlock(const ConvBuffers& buffers, Range tiles) const {
    auto* scratch = static_cast<float*>(buffers.scratch);
    const int64_t vectors = plan_.vectors(inputs_);
    const TileJob in =
        backward_ ? plan_.JobOfY(buffers.y, tiles, {0, vectors}, scratch, PlaneOrder::kByGroup)
                  : plan_.JobOfX(buffers.x, tiles, {0, vectors}, scratch, PlaneOrder::kByGroup);
    ParallelFor(vectors, 4, [&](int64_t begin, int64_t end) {
      TileJob job = in;
      job.first_vector = begin;
      job.vectors = end - begin;
      job.planes += begin * job.vector_stride;
      plan_.transforms->input(job);
    });
    ForParts(plan_.parts, [&](int64_t part) {
      float* mine = scratch + input_floats() + part * (sum_floats() + weight_floats());
      for (const Panel& panel : panels_[static_cast<size_t>(part)]) {
        RunPanel(buffers, in, panel, mine, mine + sum_floats());
      }
    });
  }

  void RunPanel(const ConvBuffers& buffers, const TileJob& in, const Panel& panel, float* sums,
                float* weights) const {
    const Range tiles = {in.first, in.first + in.count};
    const Range vectors = {panel.vector, panel.vector + panel.width};
    TileJob out = backward_ ? plan_.JobOfX(buffers.x, tiles, vectors, sums, PlaneOrder::kByGroup)
                            : plan_.JobOfY(buffers.y, tiles, vectors, sums, PlaneOrder::kByGroup);
    for (int64_t input = 0; input < inputs_; input += depth_) {
      WeightJob job = {};
      job.weights = static_cast<const float*>(buffers.weights);
      job.c = plan_.shape.c;
      job.swapped = backward_;
      job.outputs = outputs_;
      job.output = panel.vector * plan_.isa->lanes;
      job.width = panel.width;
      job.input = input;
      job.inputs = std::min(depth_, inputs_ - input);
      job.points = weights;
      job.point_stride = PointStride(depth_ * width());
      plan_.transforms->weights(job);
      Multiply(in, job, out);
    }
    if (!backward_) {
      out.bias = static_cast<const float*>(buffers.bias);
      out.relu = buffers.activation == Activation::kRelu;
    }
    plan_.transforms->output(out);
  }

  void Multiply(const TileJob& in, const WeightJob& weights, const TileJob& out) const {
    for (int64_t p = 0; p < plan_.points(); ++p) {
      ProductJob job = {};
      job.v = in.planes + p * in.point_stride + weights.input / plan_.isa->lanes * in.vector_stride;
      job.v_group_stride = in.group_stride;
      job.channels = weights.inputs;
      job.count = in.count;
      job.u = weights.points + p * weights.point_stride;
      job.m = out.planes + p * out.point_stride;
      job.m_group_stride = out.group_stride;
      job.accumulate = weights.input > 0;
      plan_.isa->product[weights.width - 1](job);
    }
  }

  const Plan plan_;
  const bool backward_;
  const int64_t inputs_, outputs_, block_;
  int64_t depth_;
  std::vector<std::vector<Panel>> panels_;  // by part
};

}  // namespace

std::unique_ptr<ConvKernel> MakeFused(const Plan& plan) { return std::make_unique<Fused>(plan); }

}  // namespace lockstep::cpu::winograd
