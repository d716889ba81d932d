// The weights' gradient where the weights outweigh the pictures: both pictures are transformed
// first, then each thread takes its own outputs panel by panel, sums over all tiles in the
// second-level cache and transforms back at once.
#include <algorithm>

#include "kernels/cpu/winograd/plan.h"

namespace lockstep::cpu::winograd {
namespace {

// Sums of one panel at a time.
int64_t SumBytes(const Plan& plan) { return (plan.isa->lanes == 16 ? 640 : 320) << 10; }

class FusedGradient : public ConvKernel {
 public:
  explicit FusedGradient(const Plan& plan) : plan_(plan) {
    const int64_t fit = SumBytes(plan) / 4 / (plan.points() * width());
    const int64_t eights = (plan.shape.c + 7) / 8 * 8;
    depth_ = std::min(std::max<int64_t>(fit / 16 * 16, 16), eights);
    for (int64_t part = 0; part < plan.parts; ++part) {
      panels_.push_back(Panels(Part(plan.vectors(plan.shape.k), plan.parts, part)));
    }
  }

  size_t scratch_bytes() const override {
    return static_cast<size_t>(plane_floats(plan_.shape.c) + plane_floats(plan_.shape.k) +
                               plan_.parts * sum_floats()) *
           4;
  }
  size_t prepared_bytes() const override { return 0; }
  void PrepareWeights(const void*, void*) override {}

  void Run(const ConvBuffers& buffers) override {
    const Plan& plan = plan_;
    const int64_t c = plan.shape.c, k = plan.shape.k;
    auto* scratch = static_cast<float*>(buffers.scratch);
    const Range tiles = {0, plan.tiles()};
    const TileJob x =
        plan.JobOfX(buffers.x, tiles, {0, plan.vectors(c)}, scratch, PlaneOrder::kByVector);
    const TileJob y = plan.JobOfY(buffers.y, tiles, {0, plan.vectors(k)}, scratch + plane_floats(c),
                                  PlaneOrder::kByVector);
    Transform(x, plan.transforms->input);
    Transform(y, plan.transforms->output_gradient);
    ForParts(plan.parts, [&](int64_t part) {
      float* sums = scratch + plane_floats(c) + plane_floats(k) + part * sum_floats();
      for (const Panel& panel : panels_[static_cast<size_t>(part)]) {
        for (int64_t input = 0; input < c; input += depth_) {
          RunPanel(x, y, panel, input, sums, static_cast<float*>(buffers.dw));
        }
      }
    });
  }

 private:
  int64_t width() const { return kMaxPanel * plan_.isa->lanes; }
  int64_t plane_floats(int64_t channels) const {
    return plan_.points() * PointStride(plan_.tiles() * plan_.Padded(channels));
  }
  int64_t sum_floats() const { return plan_.points() * PointStride(depth_ * width()); }

  static void Transform(const TileJob& all, void (*transform)(const TileJob&)) {
    ParallelFor(all.vectors, 4, [&](int64_t begin, int64_t end) {
      TileJob job = all;
      job.first_vector = begin;
      job.vectors = end - begin;
      job.planes += begin * job.vector_stride;
      transform(job);
    });
  }

  void RunPanel(const TileJob& x, const TileJob& y, const Panel& panel, int64_t input, float* sums,
                float* dw) const {
    const int64_t lanes = plan_.isa->lanes;
    WeightJob back = {};
    back.gradient = dw;
    back.c = plan_.shape.c;
    back.outputs = plan_.shape.k;
    back.output = panel.vector * lanes;
    back.width = panel.width;
    back.input = input;
    back.inputs = std::min(depth_, plan_.shape.c - input);
    back.points = sums;
    back.point_stride = PointStride(depth_ * width());
    for (int64_t p = 0; p < plan_.points(); ++p) {
      GradientJob job = {};
      job.v = x.planes + p * x.point_stride + input / lanes * x.vector_stride;
      job.v_vector_stride = x.vector_stride;
      job.channels = back.inputs;
      job.count = x.count;
      job.n = y.planes + p * y.point_stride + panel.vector * y.vector_stride;
      job.n_vector_stride = y.vector_stride;
      job.d = sums + p * back.point_stride;
      plan_.isa->gradient[panel.width - 1](job);
    }
    plan_.transforms->weights_gradient(back);
  }

  const Plan plan_;
  int64_t depth_;
  std::vector<std::vector<Panel>> panels_;  // by part
};

}  // namespace

std::unique_ptr<ConvKernel> MakeFusedGradient(const Plan& plan) {
  return std::make_unique<FusedGradient>(plan);
}

}  // namespace lockstep::cpu::winograd
