// Instructions of a convolution whose output only a max pooling by 2x2 wants.
#ifndef LOCKSTEP_ENGINE_PLAN_INSTRUCTIONS_POOLED_CONV_H_
#define LOCKSTEP_ENGINE_PLAN_INSTRUCTIONS_POOLED_CONV_H_

#include <memory>
#include <optional>
#include <string>

#include "engine/plan/instruction.h"
#include "kernels/conv.h"

namespace lockstep {

// What both passes share: made by fusion, where ConvKernels::can_pool().
class PooledConvInstruction : public Instruction {
 public:
  PooledConvInstruction(const ConvShape& shape, std::vector<ValueId> in, std::vector<ValueId> out)
      : Instruction(std::move(in), std::move(out)), shape_(shape) {}
  double flops() const override { return shape_.flops(); }
  void DescribeLayouts(LayoutGroups& groups) const override;
  void Prepare(const PrepareContext& context) override;
  size_t scratch_bytes() const override { return kernel_->scratch_bytes(); }

 protected:
  virtual ValueId y() const = 0;

  ConvShape shape_;
  std::unique_ptr<PooledConvKernel> kernel_;
};

// Inputs x, w, then b if there is one; outputs y and, where a backward pass follows, the argmax.
class PooledConvForward : public PooledConvInstruction {
 public:
  PooledConvForward(const ConvShape& shape, std::vector<ValueId> in, ValueId y,
                    std::optional<ValueId> argmax);
  std::string kind() const override { return "pooled conv forward"; }
  void Run(const RunContext& context) override;

 private:
  ValueId y() const override { return outputs[0]; }
};

// Inputs x, dy and the argmax; output dw. Nothing wants the gradient of x.
class PooledConvBackwardWeights : public PooledConvInstruction {
 public:
  PooledConvBackwardWeights(const ConvShape& shape, ValueId x, ValueId dy, ValueId argmax,
                            ValueId dw)
      : PooledConvInstruction(shape, {x, dy, argmax}, {dw}) {}
  std::string kind() const override { return "pooled conv backward"; }
  void Run(const RunContext& context) override;

 private:
  ValueId y() const override { return inputs[1]; }
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_PLAN_INSTRUCTIONS_POOLED_CONV_H_
