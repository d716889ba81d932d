// Instructions over elements: sums, activations, dropout, layout changes, reshapes.
#ifndef LOCKSTEP_ENGINE_PLAN_INSTRUCTIONS_ELEMENTWISE_H_
#define LOCKSTEP_ENGINE_PLAN_INSTRUCTIONS_ELEMENTWISE_H_

#include <string>

#include "engine/plan/instruction.h"
#include "kernels/elementwise.h"

namespace lockstep {

// What runs over elements alone: all arrays lie as the output does.
class ElementsInstruction : public Instruction {
 public:
  using Instruction::Instruction;
  void DescribeLayouts(LayoutGroups& groups) const override;
  void Prepare(const PrepareContext& context) override;

 protected:
  int64_t size_ = 0;
};

// total = a + b.
class AddInstruction : public ElementsInstruction {
 public:
  AddInstruction(DType dtype, ValueId a, ValueId b, ValueId total)
      : ElementsInstruction({a, b}, {total}), dtype_(dtype) {}
  std::string kind() const override { return "add"; }
  int reusable_input() const override { return 0; }
  void Run(const RunContext& context) override;

 private:
  DType dtype_;
};

// y = factor * x.
class ScaleInstruction : public ElementsInstruction {
 public:
  ScaleInstruction(DType dtype, double factor, ValueId x, ValueId y)
      : ElementsInstruction({x}, {y}), dtype_(dtype), factor_(factor) {}
  std::string kind() const override { return "scale"; }
  int reusable_input() const override { return 0; }
  void Run(const RunContext& context) override;

 private:
  DType dtype_;
  double factor_;
};

// y = x times the loss scale of the step.
class LossScaleInstruction : public ElementsInstruction {
 public:
  LossScaleInstruction(DType dtype, const LossScale* scale, ValueId x, ValueId y)
      : ElementsInstruction({x}, {y}), dtype_(dtype), scale_(scale) {}
  std::string kind() const override { return "loss scale"; }
  int reusable_input() const override { return 0; }
  void Run(const RunContext& context) override;

 private:
  DType dtype_;
  const LossScale* scale_;  // in the device's memory
};

// y = x in another floating format.
class CastInstruction : public ElementsInstruction {
 public:
  CastInstruction(DType from, DType to, ValueId x, ValueId y)
      : ElementsInstruction({x}, {y}), from_(from), to_(to) {}
  std::string kind() const override { return "cast"; }
  void Run(const RunContext& context) override;

 private:
  DType from_, to_;
};

// The same picture in another layout.
class ReorderInstruction : public Instruction {
 public:
  ReorderInstruction(DType dtype, ValueId from, ValueId to)
      : Instruction({from}, {to}), dtype_(dtype) {}
  std::string kind() const override { return "reorder"; }
  void DescribeLayouts(LayoutGroups&) const override {}
  // Shape and layouts, known only once they are assigned.
  void Resolve(const std::vector<PlanValue>& values);
  void Prepare(const PrepareContext& context) override { Resolve(context.values); }
  void Run(const RunContext& context) override;

 private:
  DType dtype_;
  PictureShape shape_;
  Layout from_, to_;
};

// y has x's elements under another shape; plain.
class ReshapeInstruction : public Instruction {
 public:
  ReshapeInstruction(ValueId x, ValueId y) : Instruction({x}, {y}) {}
  std::string kind() const override { return "reshape"; }
  void DescribeLayouts(LayoutGroups& groups) const override;
  bool is_alias() const override { return true; }
  void Run(const RunContext&) override {}
};

// y is x.
class IdentityInstruction : public Instruction {
 public:
  IdentityInstruction(ValueId x, ValueId y) : Instruction({x}, {y}) {}
  std::string kind() const override { return "identity"; }
  void DescribeLayouts(LayoutGroups& groups) const override;
  bool is_alias() const override { return true; }
  void Run(const RunContext&) override {}
};

class ActivationForward : public ElementsInstruction {
 public:
  ActivationForward(DType dtype, Activation f, double slope, ValueId x, ValueId y)
      : ElementsInstruction({x}, {y}), function(f), dtype_(dtype), slope_(slope) {}
  std::string kind() const override { return "activation forward"; }
  int reusable_input() const override { return 0; }
  void Run(const RunContext& context) override;

  const Activation function;

 private:
  DType dtype_;
  double slope_;
};

class ActivationBackward : public ElementsInstruction {
 public:
  ActivationBackward(DType dtype, Activation f, double slope, ValueId y, ValueId dy, ValueId dx)
      : ElementsInstruction({y, dy}, {dx}), dtype_(dtype), function_(f), slope_(slope) {}
  std::string kind() const override { return "activation backward"; }
  int reusable_input() const override { return 1; }
  void Run(const RunContext& context) override;

 private:
  DType dtype_;
  Activation function_;
  double slope_;
};

// Forward and backward are the same map with the same mask.
class DropoutInstruction : public Instruction {
 public:
  DropoutInstruction(DType dtype, double dropout_ratio, uint64_t node_hash, ValueId x, ValueId y,
                     bool is_backward)
      : Instruction({x}, {y}),
        ratio(dropout_ratio),
        hash(node_hash),
        dtype_(dtype),
        backward_(is_backward) {}
  std::string kind() const override { return backward_ ? "dropout backward" : "dropout forward"; }
  void DescribeLayouts(LayoutGroups& groups) const override;
  int reusable_input() const override { return 0; }
  void Prepare(const PrepareContext& context) override;
  void Run(const RunContext& context) override;

  const double ratio;
  const uint64_t hash;

 private:
  DType dtype_;
  bool backward_;
  PictureShape shape_;
  Layout layout_;
};

// y[:, offset : offset + c of x] = x, or the reverse for gradients.
class ChannelCopy : public Instruction {
 public:
  struct Range {
    int64_t from = 0, to = 0, channels = 0;  // first channel read, first written, how many
  };
  ChannelCopy(DType dtype, std::vector<ValueId> x, std::vector<Range> ranges, ValueId y)
      : Instruction(std::move(x), {y}), dtype_(dtype), ranges_(std::move(ranges)) {}
  std::string kind() const override { return "channel copy"; }
  void DescribeLayouts(LayoutGroups&) const override {}
  void Prepare(const PrepareContext& context) override;
  void Run(const RunContext& context) override;

 private:
  struct Operand {
    PictureShape shape;
    Layout layout;
  };
  DType dtype_;
  std::vector<Range> ranges_;
  std::vector<Operand> x_;
  Operand y_;
};

// The dropout key of a node for this run.
DropoutArgs MakeDropout(const RunContext& context, double ratio, uint64_t node_hash);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_PLAN_INSTRUCTIONS_ELEMENTWISE_H_
