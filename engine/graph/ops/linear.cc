#include "engine/plan/instructions/linear.h"

#include "engine/graph/layers.h"
#include "engine/graph/ops/common.h"
#include "engine/plan/instructions/conv.h"

namespace lockstep {
namespace {

// Inputs x, W and, with a bias, b.
class LinearOp : public Op {
 public:
  explicit LinearOp(bool bias) : bias_(bias) {}
  std::string type() const override { return "LinearFunction"; }
  Attributes attributes() const override { return {{"bias", Text(bias_)}}; }

  Operand operand(size_t input) const override {
    return input == 0 ? Operand::kActivation : Operand::kWeight;
  }

  std::vector<TensorType> Infer(std::span<const TensorType> inputs) const override {
    const int64_t features = inputs[0].shape.row_size();
    if (inputs[1].shape.ndim() != 2 || inputs[1].shape[1] != features) {
      throw ShapeError("input " + inputs[0].shape.ToString() + " has " + Text(features) +
                       " features; the weights are " + inputs[1].shape.ToString());
    }
    return {{Shape({inputs[0].shape[0], inputs[1].shape[0]}), inputs[0].dtype}};
  }

  void Forward(Lowering& lowering, const NodeView& node) const override {
    std::optional<ValueId> bias;
    if (bias_) bias = node.in[2];
    lowering.Emit(std::make_unique<LinearForward>(MakeShape(lowering, node), node.in[0], node.in[1],
                                                  bias, node.out[0]));
  }

  void Backward(Lowering& lowering, const NodeView& node) const override {
    const LinearShape shape = MakeShape(lowering, node);
    const ValueId x = node.in[0], w = node.in[1];
    const ValueId dy = lowering.GradientOf(node.out[0]);
    if (bias_ && lowering.NeedsGradient(node.in[2])) {
      const ValueId db = lowering.NewGradient(node.in[2]);
      lowering.Emit(std::make_unique<BiasBackward>(lowering.type(dy).dtype, dy, db));
      lowering.Contribute(node.in[2], db);
    }
    if (lowering.NeedsGradient(w)) {
      const ValueId dw = lowering.NewGradient(w);
      lowering.Emit(std::make_unique<LinearBackwardWeights>(shape, x, dy, dw));
      lowering.Contribute(w, dw);
    }
    if (lowering.NeedsGradient(x)) {
      const ValueId dx = lowering.NewGradient(x);
      lowering.Emit(std::make_unique<LinearBackwardData>(shape, dy, w, dx));
      lowering.Contribute(x, dx);
    }
  }

 private:
  static LinearShape MakeShape(const Lowering& lowering, const NodeView& node) {
    const Shape& x = lowering.shape(node.in[0]);
    return {x[0], x.row_size(), lowering.shape(node.in[1])[0], lowering.type(node.in[0]).dtype};
  }

  bool bias_;
};

}  // namespace

Var Linear(Var x, const LinearOptions& options, const std::string& name) {
  if (options.out < 1) {
    throw ConfigError(name + ": out must be positive, got " + Text(options.out));
  }
  Graph& graph = *x.graph;
  std::vector<Var> inputs{
      x, graph.Parameter(name + "/W", Shape({options.out, x.shape().row_size()}), options.weights)};
  if (options.bias) {
    inputs.push_back(graph.Parameter(name + "/b", Shape({options.out}), options.biases));
  }
  return ApplyOne(std::make_shared<LinearOp>(options.bias), inputs, name);
}

}  // namespace lockstep
