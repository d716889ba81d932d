// Instructions of a user's own op.
#ifndef LOCKSTEP_ENGINE_PLAN_INSTRUCTIONS_CUSTOM_H_
#define LOCKSTEP_ENGINE_PLAN_INSTRUCTIONS_CUSTOM_H_

#include <string>
#include <vector>

#include "engine/graph/custom_op.h"
#include "engine/plan/instruction.h"

namespace lockstep {

class CustomInstruction : public Instruction {
 public:
  CustomInstruction(const CustomOp& op, std::vector<ValueId> in, std::vector<ValueId> out)
      : Instruction(std::move(in), std::move(out)), op_(op) {}
  void DescribeLayouts(LayoutGroups& groups) const override;
  void Prepare(const PrepareContext& context) override;

 protected:
  // Views of the values; of id -1, nothing.
  std::vector<Tensor> Views(const RunContext& context, const std::vector<ValueId>& ids) const;

  const CustomOp& op_;  // lives in the graph

 private:
  std::vector<TensorType> types_;  // by ValueId
};

class CustomForward : public CustomInstruction {
 public:
  CustomForward(const CustomOp& op, bool training, std::vector<ValueId> in,
                std::vector<ValueId> out)
      : CustomInstruction(op, std::move(in), std::move(out)), training_(training) {}
  std::string kind() const override { return op_.type() + " forward"; }
  void Run(const RunContext& context) override;

 private:
  bool training_;
};

class CustomBackward : public CustomInstruction {
 public:
  // One entry per output and per input of the op; -1 where there is no gradient.
  struct Operands {
    std::vector<ValueId> in, out, out_gradients, in_gradients;
  };
  CustomBackward(const CustomOp& op, const Operands& operands);
  std::string kind() const override { return op_.type() + " backward"; }
  void Run(const RunContext& context) override;

 private:
  // Of `from`, where `there` says so; else -1. The passes replace ids in inputs and outputs only.
  static std::vector<ValueId> Pick(const std::vector<ValueId>& from, size_t begin,
                                   const std::vector<bool>& there);

  size_t op_inputs_, op_outputs_;
  std::vector<bool> has_out_gradient_, wants_in_gradient_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_PLAN_INSTRUCTIONS_CUSTOM_H_
