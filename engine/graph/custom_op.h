// An op of your own: three functions over plain arrays in host memory.
//
//   class Swish : public CustomOp {
//     std::string type() const override { return "Swish"; }
//     std::vector<TensorType> Infer(std::span<const TensorType> in) const override {
//       return {in[0]};
//     }
//     void Compute(const ForwardArgs& args) const override { ... }
//     void Differentiate(const BackwardArgs& args) const override { ... }
//   };
//   const Var inputs[] = {x};
//   Var y = graph.Apply(std::make_shared<Swish>(), inputs, "swish").front();
#ifndef LOCKSTEP_ENGINE_GRAPH_CUSTOM_OP_H_
#define LOCKSTEP_ENGINE_GRAPH_CUSTOM_OP_H_

#include <span>

#include "engine/graph/op.h"

namespace lockstep {

// Arrays are plain (pictures NCHW) and of the types Infer was asked about and answered; floating
// ones have the dtype of parameters, float32 or float64. They are views: good during the call only.
// Runs on the CPU. May feed other ops, not be the loss itself.
class CustomOp : public Op {
 public:
  struct ForwardArgs {
    std::span<const Tensor> inputs;
    std::span<Tensor> outputs;  // to be written completely
    bool training = false;
  };
  struct BackwardArgs {
    std::span<const Tensor> inputs;
    std::span<const Tensor> outputs;  // as Compute left them
    // data() is null where nothing used that output. Of a network that computes in float16 they are
    // times a loss scale that changes (docs/precision.md), and so are to be those of the inputs:
    // what is not linear in them, as clipping, goes wrong there.
    std::span<const Tensor> output_gradients;
    // To be written completely; data() is null where nobody wants the gradient.
    std::span<Tensor> input_gradients;
  };

  virtual void Compute(const ForwardArgs& args) const = 0;
  virtual void Differentiate(const BackwardArgs& args) const = 0;

  void Forward(Lowering& lowering, const NodeView& node) const final;
  void Backward(Lowering& lowering, const NodeView& node) const final;
  bool is_loss() const final { return false; }
  Operand operand(size_t) const final { return Operand::kFull; }
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_GRAPH_CUSTOM_OP_H_
