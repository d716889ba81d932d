#include "engine/graph/layers.h"
#include "engine/graph/ops/common.h"
#include "engine/plan/instructions/norm.h"

namespace lockstep {
namespace {

// Inputs x, gamma, beta, avg_mean, avg_var.
class BatchNormOp : public Op {
 public:
  explicit BatchNormOp(const BatchNormOptions& options) : o_(options) {}
  std::string type() const override { return "BatchNormalization"; }
  Attributes attributes() const override {
    return {{"eps", Text(o_.eps)},
            {"decay", Text(o_.decay)},
            {"unbiased_running_variance", Text(o_.unbiased_running_variance)}};
  }

  Operand operand(size_t input) const override {
    return input == 0 ? Operand::kActivation : Operand::kFull;
  }

  std::vector<TensorType> Infer(std::span<const TensorType> inputs) const override {
    const Shape& x = inputs[0].shape;
    if (x.ndim() != 2 && x.ndim() != 4) {
      throw ShapeError("wants (n, c) or (n, c, h, w), got " + x.ToString());
    }
    if (!(inputs[1].shape == Shape({x[1]}))) {
      throw ShapeError("input " + x.ToString() + " has " + Text(x[1]) + " channels; gamma is " +
                       inputs[1].shape.ToString());
    }
    return {inputs[0]};
  }

  void Forward(Lowering& lowering, const NodeView& node) const override {
    if (lowering.mode() != Mode::kTrain) {
      lowering.Emit(std::make_unique<BatchNormInference>(lowering.type(node.in[0]).dtype, o_.eps,
                                                         node.in, node.out[0]));
      return;
    }
    const auto statistics = [&](const char* what) {
      return lowering.Temporary(node.node.name + "/" + what,
                                {lowering.shape(node.in[1]), DType::kFloat64});
    };
    const DType dtype = lowering.type(node.in[0]).dtype;
    const ValueId x = node.in[0];
    const ValueId lane_mean = statistics("lane_mean"), lane_m2 = statistics("lane_m2");
    const ValueId mean = statistics("mean"), inv_std = statistics("inv_std");
    lowering.Save(node, "mean", mean);
    lowering.Save(node, "inv_std", inv_std);
    lowering.Emit(std::make_unique<BatchNormMoments>(dtype, x, lane_mean, lane_m2));
    lowering.Emit(std::make_unique<BatchNormJoin>(
        dtype, o_.eps, RunningStatistics{o_.decay, o_.unbiased_running_variance},
        lowering.lane_norm(), std::vector<ValueId>{lane_mean, lane_m2, x, node.in[3], node.in[4]},
        std::vector<ValueId>{mean, inv_std}));
    lowering.Emit(std::make_unique<BatchNormNormalize>(
        dtype, std::vector<ValueId>{x, mean, inv_std, node.in[1], node.in[2]}, node.out[0]));
  }

  void Backward(Lowering& lowering, const NodeView& node) const override {
    const auto sums = [&](const char* what, const Shape& shape) {
      return lowering.Temporary(node.node.name + "/" + what, {shape, DType::kFloat64});
    };
    const auto wanted = [&](ValueId id) {
      return lowering.NeedsGradient(id) ? lowering.NewGradient(id) : -1;
    };
    const DType dtype = lowering.type(node.in[0]).dtype;
    const Shape& channels = lowering.shape(node.in[1]);
    const ValueId x = node.in[0], gamma = node.in[1], beta = node.in[2];
    const ValueId dy = lowering.GradientOf(node.out[0]);
    const ValueId mean = lowering.Saved(node, "mean"), inv_std = lowering.Saved(node, "inv_std");
    const ValueId lane_dz = sums("lane_dz", channels), lane_xhat = sums("lane_dz_xhat", channels);
    const BatchNormGradientJoin::Outputs joined{.sum_dz = sums("sum_dz", channels),
                                                .sum_dz_xhat = sums("sum_dz_xhat", channels),
                                                .count = sums("count", Shape({})),
                                                .dgamma = wanted(gamma),
                                                .dbeta = wanted(beta)};
    lowering.Emit(std::make_unique<BatchNormGradientSums>(
        dtype, std::vector<ValueId>{x, dy, mean, inv_std}, lane_dz, lane_xhat));
    lowering.Emit(std::make_unique<BatchNormGradientJoin>(
        dtype, lowering.lane_norm(), std::vector<ValueId>{lane_dz, lane_xhat, x}, joined));
    if (joined.dgamma >= 0) lowering.Contribute(gamma, joined.dgamma);
    if (joined.dbeta >= 0) lowering.Contribute(beta, joined.dbeta);
    if (!lowering.NeedsGradient(x)) return;
    const ValueId dx = lowering.NewGradient(x);
    lowering.Emit(std::make_unique<BatchNormGradientApply>(
        dtype,
        std::vector<ValueId>{x, dy, mean, inv_std, gamma, joined.sum_dz, joined.sum_dz_xhat,
                             joined.count},
        dx));
    lowering.Contribute(x, dx);
  }

 private:
  BatchNormOptions o_;
};

}  // namespace

Var BatchNorm(Var x, const BatchNormOptions& options, const std::string& name) {
  if (x.shape().ndim() < 2) {
    throw ShapeError(name + ": wants (n, c) or (n, c, h, w), got " + x.shape().ToString());
  }
  Graph& graph = *x.graph;
  const Shape channels({x.shape()[1]});
  const Var gamma = graph.Parameter(name + "/gamma", channels, Initializer::Constant(1.0));
  const Var beta = graph.Parameter(name + "/beta", channels, Initializer::Constant(0.0));
  const Var mean = graph.State(name + "/avg_mean", {channels, DType::kFloat32}, 0.0);
  const Var variance = graph.State(name + "/avg_var", {channels, DType::kFloat32}, 1.0);
  // Chainer's counter of fine-tuning batches: stays 0, but belongs to the file format.
  graph.State(name + "/N", {Shape({}), DType::kInt64}, 0.0);
  const Var inputs[] = {x, gamma, beta, mean, variance};
  return ApplyOne(std::make_shared<BatchNormOp>(options), inputs, name);
}

}  // namespace lockstep
