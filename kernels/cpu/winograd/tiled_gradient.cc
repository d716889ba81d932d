// The weights' gradient by blocks of tiles: each thread sums over its own tiles; the threads' sums
// are then added in their order.
#include <algorithm>

#include "kernels/cpu/winograd/plan.h"
#include "kernels/cpu/winograd/prefetch.h"

namespace lockstep::cpu::winograd {
namespace {

constexpr int64_t kTiles = 32;  // summed at once: their planes stay in the second-level cache

class TiledGradient : public ConvKernel {
 public:
  explicit TiledGradient(const Plan& plan)
      : plan_(plan),
        panels_(Panels({0, plan.vectors(plan.shape.k)})),
        block_(std::min(plan.tiles(), kTiles)) {}

  size_t scratch_bytes() const override {
    return static_cast<size_t>(plan_.parts * part_floats()) * 4;
  }
  size_t prepared_bytes() const override { return 0; }
  void PrepareWeights(const void*, void*) override {}

  void Run(const ConvBuffers& buffers) override {
    auto* scratch = static_cast<float*>(buffers.scratch);
    ForParts(plan_.parts, [&](int64_t part) {
      float* sums = scratch + part * part_floats();
      const Range mine = Part(plan_.tiles(), plan_.parts, part);
      const int64_t blocks = (mine.size() + block_ - 1) / block_;
      if (blocks == 0) std::fill_n(sums, plan_.points() * sum_stride(), 0.0F);
      const auto block = [&](int64_t b) {
        const Range range = b < blocks ? Part(mine.size(), blocks, b) : Range{0, 0};
        return Range{mine.begin + range.begin, mine.begin + range.end};
      };
      for (int64_t b = 0; b < blocks; ++b) RunBlock(buffers, block(b), block(b + 1), sums, b > 0);
    });
    const auto panels = static_cast<int64_t>(panels_.size());
    ParallelFor(panels * (rows() / 8), 16, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        Finish(panels_[static_cast<size_t>(i % panels)], i / panels * 8, scratch,
               static_cast<float*>(buffers.dw));
      }
    });
  }

 private:
  // Channels of x in eights.
  int64_t rows() const { return (plan_.shape.c + 7) / 8 * 8; }
  int64_t sum_stride() const { return PointStride(rows() * plan_.Padded(plan_.shape.k)); }
  int64_t plane_floats(int64_t channels) const {
    return plan_.points() * PointStride(block_ * plan_.Padded(channels));
  }
  int64_t part_floats() const {
    return plan_.points() * sum_stride() + plane_floats(plan_.shape.c) +
           plane_floats(plan_.shape.k);
  }

  void RunBlock(const ConvBuffers& buffers, Range tiles, Range next, float* sums,
                bool accumulate) const {
    const Plan& plan = plan_;
    const int64_t c = plan.shape.c, k = plan.shape.k, lanes = plan.isa->lanes;
    float* planes = sums + plan.points() * sum_stride();
    const TileJob x =
        plan.JobOfX(buffers.x, tiles, {0, plan.vectors(c)}, planes, PlaneOrder::kByVector);
    const TileJob y = plan.JobOfY(buffers.y, tiles, {0, plan.vectors(k)}, planes + plane_floats(c),
                                  PlaneOrder::kByVector);
    plan.transforms->input(x);
    plan.transforms->output_gradient(y);
    Prefetch next_x = Ahead(x, next), next_y = Ahead(y, next);
    for (int64_t p = 0; p < plan.points(); ++p) {
      next_x.Step();
      next_y.Step();
      for (const Panel& panel : panels_) {
        GradientJob job = {};
        job.v = x.planes + p * x.point_stride;
        job.v_vector_stride = x.vector_stride;
        job.channels = c;
        job.count = x.count;
        job.n = y.planes + p * y.point_stride + panel.vector * y.vector_stride;
        job.n_vector_stride = y.vector_stride;
        job.d = sums + p * sum_stride() + panel.vector * lanes * rows();
        job.accumulate = accumulate;
        plan.isa->gradient[panel.width - 1](job);
      }
    }
  }

  Prefetch Ahead(TileJob job, Range next) const {
    job.first = next.begin;
    job.count = next.size();
    return Prefetch::Pixels(job, plan_.transforms->tile, plan_.points());
  }

  // Adds the parts' sums of one panel and 8 inputs, and transforms them back.
  void Finish(const Panel& panel, int64_t input, float* scratch, float* dw) const {
    const int64_t lanes = plan_.isa->lanes, size = 8 * panel.width * lanes;
    WeightJob job = {};
    job.gradient = dw;
    job.c = plan_.shape.c;
    job.outputs = plan_.shape.k;
    job.output = panel.vector * lanes;
    job.width = panel.width;
    job.input = input;
    job.inputs = std::min<int64_t>(8, job.c - input);
    job.points = scratch + job.output * rows() + input * panel.width * lanes;
    job.point_stride = sum_stride();
    for (int64_t p = 0; p < plan_.points(); ++p) {
      float* sum = job.points + p * job.point_stride;
      for (int64_t part = 1; part < plan_.parts; ++part) {
        const float* other = sum + part * part_floats();
        for (int64_t i = 0; i < size; ++i) sum[i] += other[i];
      }
    }
    plan_.transforms->weights_gradient(job);
  }

  const Plan plan_;
  const std::vector<Panel> panels_;
  const int64_t block_;
};

}  // namespace

std::unique_ptr<ConvKernel> MakeTiledGradient(const Plan& plan) {
  return std::make_unique<TiledGradient>(plan);
}

}  // namespace lockstep::cpu::winograd
