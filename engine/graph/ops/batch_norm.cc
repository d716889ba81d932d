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
      lowering.Emit(
          std::make_unique<BatchNormInference>(lowering.dtype(), o_.eps, node.in, node.out[0]));
      return;
    }
    const TensorType statistics{lowering.shape(node.in[1]), DType::kFloat64};
    const ValueId mean = lowering.Temporary(node.node.name + "/mean", statistics);
    const ValueId inv_std = lowering.Temporary(node.node.name + "/inv_std", statistics);
    lowering.Save(node, "mean", mean);
    lowering.Save(node, "inv_std", inv_std);
    lowering.Emit(std::make_unique<BatchNormForward>(
        lowering.dtype(), o_.eps, RunningStatistics{o_.decay, o_.unbiased_running_variance},
        node.in, std::vector<ValueId>{node.out[0], mean, inv_std}));
  }

  void Backward(Lowering& lowering, const NodeView& node) const override {
    const ValueId dy = lowering.GradientOf(node.out[0]);
    const auto wanted = [&](ValueId id) {
      return lowering.NeedsGradient(id) ? lowering.NewGradient(id) : -1;
    };
    const BatchNormBackward::Outputs out{wanted(node.in[0]), wanted(node.in[1]),
                                         wanted(node.in[2])};
    lowering.Emit(std::make_unique<BatchNormBackward>(
        lowering.dtype(),
        std::vector<ValueId>{node.in[0], dy, lowering.Saved(node, "mean"),
                             lowering.Saved(node, "inv_std"), node.in[1]},
        out));
    if (out.dx >= 0) lowering.Contribute(node.in[0], out.dx);
    if (out.dgamma >= 0) lowering.Contribute(node.in[1], out.dgamma);
    if (out.dbeta >= 0) lowering.Contribute(node.in[2], out.dbeta);
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
