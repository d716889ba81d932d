#include <numeric>

#include "engine/graph/layers.h"
#include "engine/graph/ops/common.h"
#include "engine/plan/instructions/elementwise.h"

namespace lockstep {
namespace {

class ReshapeOp : public Op {
 public:
  explicit ReshapeOp(const Shape& sample) : sample_(sample) {}
  std::string type() const override { return "Reshape"; }
  Attributes attributes() const override { return {{"sample", sample_.ToString()}}; }
  std::vector<TensorType> Infer(std::span<const TensorType> inputs) const override {
    if (inputs[0].shape.row_size() != sample_.size()) {
      throw ShapeError("samples of " + inputs[0].shape.ToString() + " have " +
                       Text(inputs[0].shape.row_size()) + " elements, not those of " +
                       sample_.ToString());
    }
    return {{sample_.WithBatch(inputs[0].shape[0]), inputs[0].dtype}};
  }
  void Forward(Lowering& lowering, const NodeView& node) const override {
    lowering.Emit(std::make_unique<ReshapeInstruction>(node.in[0], node.out[0]));
  }
  void Backward(Lowering& lowering, const NodeView& node) const override {
    const ValueId x = node.in[0];
    // An alias of dy: never the gradient buffer of a parameter, into which Contribute copies.
    const ValueId dx = lowering.is_variable(x)
                           ? lowering.Temporary(node.node.name + "/grad", lowering.type(x))
                           : lowering.NewGradient(x);
    lowering.Emit(std::make_unique<ReshapeInstruction>(lowering.GradientOf(node.out[0]), dx));
    lowering.Contribute(node.in[0], dx);
  }

 private:
  Shape sample_;
};

class ConcatOp : public Op {
 public:
  std::string type() const override { return "Concat"; }
  std::vector<TensorType> Infer(std::span<const TensorType> inputs) const override {
    int64_t channels = 0;
    for (const TensorType& input : inputs) {
      const bool fits = input.shape.ndim() >= 2 && input.shape.ndim() == inputs[0].shape.ndim() &&
                        input.shape.WithDim(1, 1) == inputs[0].shape.WithDim(1, 1);
      if (!fits) {
        throw ShapeError("cannot concatenate " + inputs[0].shape.ToString() + " and " +
                         input.shape.ToString() + " along axis 1");
      }
      channels += input.shape[1];
    }
    return {{inputs[0].shape.WithDim(1, channels), inputs[0].dtype}};
  }
  void Forward(Lowering& lowering, const NodeView& node) const override {
    std::vector<ChannelCopy::Range> ranges;
    int64_t offset = 0;
    for (const ValueId in : node.in) {
      const int64_t channels = lowering.shape(in)[1];
      ranges.push_back({0, offset, channels});
      offset += channels;
    }
    lowering.Emit(std::make_unique<ChannelCopy>(lowering.type(node.out[0]).dtype, node.in,
                                                std::move(ranges), node.out[0]));
  }
  void Backward(Lowering& lowering, const NodeView& node) const override {
    const ValueId dy = lowering.GradientOf(node.out[0]);
    int64_t offset = 0;
    for (const ValueId in : node.in) {
      const int64_t channels = lowering.shape(in)[1];
      if (lowering.NeedsGradient(in)) {
        const ValueId dx = lowering.NewGradient(in);
        lowering.Emit(std::make_unique<ChannelCopy>(
            lowering.type(dy).dtype, std::vector<ValueId>{dy},
            std::vector<ChannelCopy::Range>{{offset, 0, channels}}, dx));
        lowering.Contribute(in, dx);
      }
      offset += channels;
    }
  }
};

}  // namespace

Var Reshape(Var x, const Shape& sample, const std::string& name) {
  const Var inputs[] = {x};
  return ApplyOne(std::make_shared<ReshapeOp>(sample), inputs, name);
}

Var Flatten(Var x, const std::string& name) {
  return Reshape(x, Shape({x.shape().row_size()}), name);
}

Var Concat(std::span<const Var> inputs, const std::string& name) {
  if (inputs.empty()) throw ConfigError("Concat wants at least one input");
  return ApplyOne(std::make_shared<ConcatOp>(), inputs, name);
}

}  // namespace lockstep
