#include "engine/plan/instructions/softmax.h"

#include "engine/graph/layers.h"
#include "engine/graph/ops/common.h"
#include "engine/plan/instructions/elementwise.h"

namespace lockstep {
namespace {

class SoftmaxOp : public Op {
 public:
  std::string type() const override { return "Softmax"; }
  Operand operand(size_t) const override { return Operand::kFull; }
  std::vector<TensorType> Infer(std::span<const TensorType> inputs) const override {
    if (inputs[0].shape.ndim() != 2) {
      throw ShapeError("wants (n, classes), got " + inputs[0].shape.ToString());
    }
    return {inputs[0]};
  }
  void Forward(Lowering& lowering, const NodeView& node) const override {
    const Shape& x = lowering.shape(node.in[0]);
    lowering.Emit(std::make_unique<SoftmaxForward>(lowering.type(node.in[0]).dtype, x[0], x[1],
                                                   node.in[0], node.out[0]));
  }
  void Backward(Lowering& lowering, const NodeView& node) const override {
    const Shape& x = lowering.shape(node.in[0]);
    const ValueId dx = lowering.NewGradient(node.in[0]);
    lowering.Emit(std::make_unique<SoftmaxBackward>(lowering.type(node.in[0]).dtype, x[0], x[1],
                                                    node.out[0], lowering.GradientOf(node.out[0]),
                                                    dx));
    lowering.Contribute(node.in[0], dx);
  }
};

// A loss ends the graph: its forward instruction also writes the gradient of the sum, so that
// Backward only hands that over.
class LossOp : public Op {
 public:
  explicit LossOp(LossInstruction::Kind kind) : kind_(kind) {}
  bool is_loss() const override { return true; }
  std::string type() const override {
    return CrossEntropy() ? "SoftmaxCrossEntropy" : "MeanSquaredError";
  }
  Operand operand(size_t) const override { return Operand::kFull; }
  std::vector<TensorType> Infer(std::span<const TensorType> inputs) const override {
    const TensorType& x = inputs[0];
    const TensorType& target = inputs[1];
    if (CrossEntropy()) {
      if (x.shape.ndim() != 2 || !(target.shape == Shape({x.shape[0]})) ||
          target.dtype != DType::kInt32) {
        throw ShapeError("wants (n, classes) and int32 labels (n,), got " + x.shape.ToString() +
                         " and " + std::string(Name(target.dtype)) + " " + target.shape.ToString());
      }
    } else if (!(x == target) || !IsFloating(x.dtype)) {
      throw ShapeError("prediction " + TypeText(x) + " and target " + TypeText(target) + " differ");
    }
    return {{Shape({}), x.dtype}};
  }
  void Forward(Lowering& lowering, const NodeView& node) const override {
    const Shape& x = lowering.shape(node.in[0]);
    auto loss =
        std::make_unique<LossInstruction>(kind_, lowering.type(node.in[0]).dtype, x[0],
                                          x.row_size(), node.in[0], node.in[1], node.out[0]);
    const bool wanted = lowering.NeedsGradient(node.in[0]) || TargetNeedsGradient(lowering, node);
    if (lowering.mode() == Mode::kTrain && wanted) {
      const ValueId dx =
          lowering.NeedsGradient(node.in[0])
              ? lowering.NewGradient(node.in[0])
              : lowering.Temporary(node.node.name + "/grad", lowering.type(node.in[0]));
      loss->outputs.push_back(dx);
      lowering.Save(node, "dx", dx);
    }
    lowering.Emit(std::move(loss));
  }
  void Backward(Lowering& lowering, const NodeView& node) const override {
    const ValueId x = node.in[0], target = node.in[1];
    const ValueId dx = Scaled(lowering, node, lowering.Saved(node, "dx"));
    if (lowering.NeedsGradient(x)) lowering.Contribute(x, dx);
    if (!TargetNeedsGradient(lowering, node)) return;
    // Of (x - target)^2 the opposite.
    const ValueId dtarget = lowering.NewGradient(target);
    lowering.Emit(
        std::make_unique<ScaleInstruction>(lowering.type(node.in[0]).dtype, -1.0, dx, dtarget));
    lowering.Contribute(target, dtarget);
  }

 private:
  // The gradient times the loss scale, where there is one.
  static ValueId Scaled(Lowering& lowering, const NodeView& node, ValueId dx) {
    if (lowering.loss_scale() == nullptr) return dx;
    const TensorType type = lowering.type(dx);
    const ValueId scaled = lowering.Temporary(node.node.name + "/scaled", type);
    lowering.Emit(
        std::make_unique<LossScaleInstruction>(type.dtype, lowering.loss_scale(), dx, scaled));
    return scaled;
  }
  static std::string TypeText(const TensorType& type) {
    return std::string(Name(type.dtype)) + " " + type.shape.ToString();
  }
  bool TargetNeedsGradient(const Lowering& lowering, const NodeView& node) const {
    return !CrossEntropy() && lowering.NeedsGradient(node.in[1]);
  }
  bool CrossEntropy() const { return kind_ == LossInstruction::Kind::kSoftmaxCrossEntropy; }

  LossInstruction::Kind kind_;
};

}  // namespace

Var Softmax(Var x, const std::string& name) {
  const Var inputs[] = {x};
  return ApplyOne(std::make_shared<SoftmaxOp>(), inputs, name);
}

Var SoftmaxCrossEntropy(Var logits, Var labels, const std::string& name) {
  const Var inputs[] = {logits, labels};
  return ApplyOne(std::make_shared<LossOp>(LossInstruction::Kind::kSoftmaxCrossEntropy), inputs,
                  name);
}

Var MeanSquaredError(Var x, Var target, const std::string& name) {
  const Var inputs[] = {x, target};
  return ApplyOne(std::make_shared<LossOp>(LossInstruction::Kind::kSquaredError), inputs, name);
}

}  // namespace lockstep
