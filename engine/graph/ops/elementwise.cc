#include "engine/plan/instructions/elementwise.h"

#include "engine/graph/layers.h"
#include "engine/graph/ops/common.h"

namespace lockstep {
namespace {

class ActivationOp : public Op {
 public:
  ActivationOp(Activation function, double slope, std::string type)
      : function_(function), slope_(slope), type_(std::move(type)) {}
  std::string type() const override { return type_; }
  Attributes attributes() const override {
    if (function_ != Activation::kLeakyRelu) return {};
    return {{"slope", Text(slope_)}};
  }
  std::vector<TensorType> Infer(std::span<const TensorType> inputs) const override {
    return {inputs[0]};
  }
  void Forward(Lowering& lowering, const NodeView& node) const override {
    lowering.Emit(std::make_unique<ActivationForward>(lowering.type(node.in[0]).dtype, function_,
                                                      slope_, node.in[0], node.out[0]));
  }
  void Backward(Lowering& lowering, const NodeView& node) const override {
    const ValueId dx = lowering.NewGradient(node.in[0]), dy = lowering.GradientOf(node.out[0]);
    lowering.value(dx).sparsity = lowering.value(dy).sparsity;
    lowering.Emit(std::make_unique<ActivationBackward>(lowering.type(dx).dtype, function_, slope_,
                                                       node.out[0], dy, dx));
    lowering.Contribute(node.in[0], dx);
  }

 private:
  Activation function_;
  double slope_;
  std::string type_;
};

class DropoutOp : public Op {
 public:
  DropoutOp(double ratio, uint64_t hash) : ratio_(ratio), hash_(hash) {}
  std::string type() const override { return "Dropout"; }
  Attributes attributes() const override { return {{"ratio", Text(ratio_)}}; }
  std::vector<TensorType> Infer(std::span<const TensorType> inputs) const override {
    return {inputs[0]};
  }
  void Forward(Lowering& lowering, const NodeView& node) const override {
    if (lowering.mode() != Mode::kTrain || ratio_ == 0.0) {
      lowering.Emit(std::make_unique<IdentityInstruction>(node.in[0], node.out[0]));
    } else {
      lowering.Emit(std::make_unique<DropoutInstruction>(lowering.type(node.in[0]).dtype, ratio_,
                                                         hash_, node.in[0], node.out[0], false));
    }
  }
  void Backward(Lowering& lowering, const NodeView& node) const override {
    const ValueId dy = lowering.GradientOf(node.out[0]);
    if (ratio_ == 0.0) {
      lowering.Contribute(node.in[0], dy);
      return;
    }
    const ValueId dx = lowering.NewGradient(node.in[0]);
    lowering.Emit(
        std::make_unique<DropoutInstruction>(lowering.type(dx).dtype, ratio_, hash_, dy, dx, true));
    lowering.Contribute(node.in[0], dx);
  }

 private:
  double ratio_;
  uint64_t hash_;
};

class AddOp : public Op {
 public:
  std::string type() const override { return "Add"; }
  std::vector<TensorType> Infer(std::span<const TensorType> inputs) const override {
    if (!(inputs[0].shape == inputs[1].shape)) {
      throw ShapeError("cannot add " + inputs[0].shape.ToString() + " and " +
                       inputs[1].shape.ToString());
    }
    return {inputs[0]};
  }
  void Forward(Lowering& lowering, const NodeView& node) const override {
    lowering.Emit(std::make_unique<AddInstruction>(lowering.type(node.out[0]).dtype, node.in[0],
                                                   node.in[1], node.out[0]));
  }
  // Both sides get dy itself; sums of contributions never write into it.
  void Backward(Lowering& lowering, const NodeView& node) const override {
    const ValueId dy = lowering.GradientOf(node.out[0]);
    for (const ValueId in : node.in) {
      if (lowering.NeedsGradient(in)) lowering.Contribute(in, dy);
    }
  }
};

Var ApplyActivation(Var x, Activation function, double slope, const char* type,
                    const std::string& name) {
  const Var inputs[] = {x};
  return ApplyOne(std::make_shared<ActivationOp>(function, slope, type), inputs, name);
}

}  // namespace

Var Relu(Var x, const std::string& name) {
  return ApplyActivation(x, Activation::kRelu, 0.0, "ReLU", name);
}

Var LeakyRelu(Var x, double slope, const std::string& name) {
  if (!(slope >= 0.0)) {
    throw ConfigError("LeakyRelu: the slope must not be negative, got " + Text(slope));
  }
  // Its gradient is written in terms of y, and y = 0 tells no sign.
  if (slope == 0.0) return Relu(x, name);
  return ApplyActivation(x, Activation::kLeakyRelu, slope, "LeakyReLU", name);
}

Var Sigmoid(Var x, const std::string& name) {
  return ApplyActivation(x, Activation::kSigmoid, 0.0, "Sigmoid", name);
}

Var Tanh(Var x, const std::string& name) {
  return ApplyActivation(x, Activation::kTanh, 0.0, "Tanh", name);
}

Var Dropout(Var x, double ratio, const std::string& name) {
  if (!(ratio >= 0.0 && ratio < 1.0)) {
    throw ConfigError(name + ": the dropout ratio must lie in [0, 1), got " + Text(ratio));
  }
  // The name keys the mask: two of one name would drop the same elements.
  if (name.empty() || x.graph->Find(name) >= 0) {
    throw ConfigError("dropout \"" + name + "\": wants a name of its own, which keys its mask");
  }
  const Var inputs[] = {x};
  return ApplyOne(std::make_shared<DropoutOp>(ratio, NameHash(name)), inputs, name);
}

Var Add(Var a, Var b, const std::string& name) {
  const Var inputs[] = {a, b};
  return ApplyOne(std::make_shared<AddOp>(), inputs, name);
}

}  // namespace lockstep
