// Instructions of a fully connected layer: y (n, out) = x (n, in) * W (out, in)^T + b (out).
#ifndef LOCKSTEP_ENGINE_PLAN_INSTRUCTIONS_LINEAR_H_
#define LOCKSTEP_ENGINE_PLAN_INSTRUCTIONS_LINEAR_H_

#include <optional>
#include <string>

#include "engine/plan/backward_updates.h"
#include "engine/plan/instruction.h"

namespace lockstep {

struct LinearShape {
  int64_t n = 0, in = 0, out = 0;
  DType dtype = DType::kFloat32;

  double flops() const { return 2.0 * static_cast<double>(n * in) * static_cast<double>(out); }
};

class LinearForward : public Instruction {
 public:
  LinearForward(const LinearShape& shape, ValueId x, ValueId w, std::optional<ValueId> b,
                ValueId y);
  std::string kind() const override { return "linear forward"; }
  double flops() const override { return shape_.flops(); }
  void DescribeLayouts(LayoutGroups& groups) const override;
  void Run(const RunContext& context) override;

  Activation activation = Activation::kIdentity;  // set by fusion

 private:
  LinearShape shape_;
};

// dx = dy * W.
class LinearBackwardData : public Instruction {
 public:
  LinearBackwardData(const LinearShape& shape, ValueId dy, ValueId w, ValueId dx)
      : Instruction({dy, w}, {dx}), shape_(shape) {}
  std::string kind() const override { return "linear backward data"; }
  double flops() const override { return shape_.flops(); }
  void DescribeLayouts(LayoutGroups& groups) const override;
  void Run(const RunContext& context) override;

 private:
  LinearShape shape_;
};

// dW = dy^T * x, or the update of W by it.
class LinearBackwardWeights : public Instruction, public WeightsGradient {
 public:
  LinearBackwardWeights(const LinearShape& shape, ValueId x, ValueId dy, ValueId dw)
      : Instruction({x, dy}, {dw}), shape_(shape) {}
  std::string kind() const override { return "linear backward weights"; }
  double flops() const override { return shape_.flops(); }
  void DescribeLayouts(LayoutGroups& groups) const override;
  bool CanUpdate(const GemmKernels& gemm) const override;
  void Run(const RunContext& context) override;

 private:
  GemmArgs Product() const;  // without operands

  LinearShape shape_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_PLAN_INSTRUCTIONS_LINEAR_H_
