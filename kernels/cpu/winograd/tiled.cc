// Forward and the data's gradient by blocks of tiles: a block's planes stay in the second-level
// cache between its three steps, and the transformed weights stream past.
#include <algorithm>

#include "kernels/cpu/winograd/plan.h"
#include "kernels/cpu/winograd/prefetch.h"

namespace lockstep::cpu::winograd {
namespace {

constexpr int64_t kBlockBytes = 230 << 10;  // of planes, in and out
constexpr int64_t kMinTiles = 12;
constexpr int64_t kMaxTiles = 64;
constexpr int64_t kMaxDepth = 256;  // channels summed at once: a panel then fits the first cache

class Tiled : public ConvKernel {
 public:
  explicit Tiled(const Plan& plan)
      : plan_(plan),
        backward_(plan.pass == ConvPass::kBackwardData),
        inputs_(backward_ ? plan.shape.k : plan.shape.c),
        outputs_(backward_ ? plan.shape.c : plan.shape.k),
        grain_(plan.isa->group),
        panels_(Panels({0, plan.vectors(outputs_)})) {
    const int64_t fit =
        kBlockBytes / 4 / (plan.points() * (plan.Padded(inputs_) + plan.Padded(outputs_)));
    const int64_t tiles = std::min(std::clamp(fit, kMinTiles, kMaxTiles), plan.tiles());
    block_ = (tiles + grain_ - 1) / grain_ * grain_;
  }

  size_t scratch_bytes() const override {
    return static_cast<size_t>(plan_.parts * part_floats()) * 4;
  }
  size_t prepared_bytes() const override {
    return static_cast<size_t>(plan_.points() * weight_stride()) * 4;
  }

  void PrepareWeights(const void* weights, void* prepared) override {
    const int64_t eights = (inputs_ + 7) / 8;
    ParallelFor(static_cast<int64_t>(panels_.size()) * eights, 16, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const Panel& panel = panels_[static_cast<size_t>(i / eights)];
        const int64_t input = i % eights * 8;
        WeightJob job = {};
        job.weights = static_cast<const float*>(weights);
        job.c = plan_.shape.c;
        job.swapped = backward_;
        job.outputs = outputs_;
        job.output = panel.vector * plan_.isa->lanes;
        job.width = panel.width;
        job.input = input;
        job.inputs = std::min<int64_t>(8, inputs_ - input);
        job.points = static_cast<float*>(prepared) + job.output * inputs_ +
                     input * panel.width * plan_.isa->lanes;
        job.point_stride = weight_stride();
        plan_.transforms->weights(job);
      }
    });
  }

  void Run(const ConvBuffers& buffers) override {
    ForParts(plan_.parts, [&](int64_t part) {
      float* scratch = static_cast<float*>(buffers.scratch) + part * part_floats();
      const Range mine = Part(plan_.tiles(), plan_.parts, part, grain_);
      const int64_t blocks = (mine.size() + block_ - 1) / block_;
      const auto block = [&](int64_t b) {
        const Range range = b < blocks ? Part(mine.size(), blocks, b, grain_) : Range{0, 0};
        return Range{mine.begin + range.begin, mine.begin + range.end};
      };
      for (int64_t b = 0; b < blocks; ++b) RunBlock(buffers, block(b), block(b + 1), scratch);
    });
  }

 private:
  int64_t weight_stride() const { return PointStride(inputs_ * plan_.Padded(outputs_)); }
  int64_t plane_floats(int64_t channels) const { return plan_.PlaneFloats(block_, channels); }
  int64_t part_floats() const { return plane_floats(inputs_) + plane_floats(outputs_); }

  void RunBlock(const ConvBuffers& buffers, Range tiles, Range next, float* scratch) const {
    const Plan& plan = plan_;
    float* const sums = scratch + plane_floats(inputs_);
    const TileJob x = plan.JobOfX(buffers.x, tiles, {0, plan.vectors(plan.shape.c)},
                                  backward_ ? sums : scratch, PlaneOrder::kByGroup);
    const TileJob y = plan.JobOfY(buffers.y, tiles, {0, plan.vectors(plan.shape.k)},
                                  backward_ ? scratch : sums, PlaneOrder::kByGroup);
    const TileJob in = backward_ ? y : x;
    TileJob out = backward_ ? x : y;
    plan.transforms->input(in);
    TileJob next_in = in;
    next_in.first = next.begin;
    next_in.count = next.size();
    Prefetch ahead = Prefetch::Pixels(next_in, plan.transforms->tile, plan.points());
    Prefetch destination = Prefetch::Pixels(out, plan.transforms->tile, plan.points());
    for (int64_t p = 0; p < plan.points(); ++p) {
      ahead.Step();
      destination.Step();
      Multiply(in, out, static_cast<const float*>(buffers.weights), p);
    }
    if (!backward_) {
      out.bias = static_cast<const float*>(buffers.bias);
      out.relu = buffers.activation == Activation::kRelu;
    }
    plan.transforms->output(out);
  }

  void Multiply(const TileJob& in, const TileJob& out, const float* weights, int64_t p) const {
    const int64_t lanes = plan_.isa->lanes, depth = kMaxDepth / lanes;
    for (int64_t v = 0; v < in.vectors; v += depth) {
      for (const Panel& panel : panels_) {
        ProductJob job = {};
        job.v = in.planes + p * in.point_stride + v * in.vector_stride;
        job.v_group_stride = in.group_stride;
        job.channels = std::min(kMaxDepth, inputs_ - v * lanes);
        job.count = in.count;
        job.u = weights + p * weight_stride() + panel.vector * lanes * inputs_ +
                v * lanes * panel.width * lanes;
        job.m = out.planes + p * out.point_stride + panel.vector * out.vector_stride;
        job.m_group_stride = out.group_stride;
        job.accumulate = v > 0;
        plan_.isa->product[panel.width - 1](job);
      }
    }
  }

  const Plan plan_;
  const bool backward_;
  const int64_t inputs_, outputs_;
  const int64_t grain_;  // of tiles
  const std::vector<Panel> panels_;
  int64_t block_;
};

}  // namespace

std::unique_ptr<ConvKernel> MakeTiled(const Plan& plan) { return std::make_unique<Tiled>(plan); }

}  // namespace lockstep::cpu::winograd
