// Instructions of a convolution: one per pass.
#ifndef LOCKSTEP_ENGINE_PLAN_INSTRUCTIONS_CONV_H_
#define LOCKSTEP_ENGINE_PLAN_INSTRUCTIONS_CONV_H_

#include <memory>
#include <optional>
#include <string>

#include "engine/plan/backward_updates.h"
#include "engine/plan/chooser.h"
#include "engine/plan/instruction.h"
#include "kernels/conv.h"

namespace lockstep {

// What the three passes share: the kernel, and where its copy of the weights lies (in the scratch
// memory, refreshed each run: weights change with every step).
class ConvInstruction : public Instruction {
 public:
  ConvInstruction(const ConvShape& shape, ConvPass pass, std::vector<ValueId> in,
                  std::vector<ValueId> out)
      : Instruction(std::move(in), std::move(out)), shape_(shape), pass_(pass) {}
  std::string kind() const override;
  std::string algorithm() const override { return algorithm_; }
  double flops() const override { return shape_.flops(); }
  void Prepare(const PrepareContext& context) override;
  double EstimateSeconds(const PrepareContext& context) const override;
  size_t scratch_bytes() const override;
  const ConvShape& shape() const { return shape_; }

 protected:
  virtual ValueId x() const = 0;
  virtual ValueId y() const = 0;
  // The weights as the kernel wants them; `plain` are the master weights, or folded ones.
  const void* Weights(const void* plain, const RunContext& context) const;
  void* KernelScratch(const RunContext& context) const;
  ConvCase Case(const PrepareContext& context) const;

  ConvShape shape_;
  ConvPass pass_;
  std::string algorithm_;
  std::unique_ptr<ConvKernel> kernel_;
};

// y = activation(conv(x, w) + b). Inputs: x, w, then b if there is one.
class ConvForward : public ConvInstruction {
 public:
  ConvForward(const ConvShape& shape, ValueId x, ValueId w, std::optional<ValueId> b, ValueId y);
  void DescribeLayouts(LayoutGroups& groups) const override;
  size_t scratch_bytes() const override;
  void Run(const RunContext& context) override;

  // Set by fusion.
  Activation activation = Activation::kIdentity;
  // Evaluation only: a batch normalisation folded into weights and bias. Its gamma, beta, mean and
  // variance are then inputs behind those above.
  void FoldBatchNorm(ValueId gamma, ValueId beta, ValueId mean, ValueId variance, double eps);
  bool folds() const { return folded_ >= 0; }

 private:
  ValueId x() const override { return inputs[0]; }
  ValueId y() const override { return outputs[0]; }
  size_t FoldedBytes() const;

  bool has_bias_;
  int folded_ = -1;  // index of gamma among the inputs
  double eps_ = 0.0;
};

class ConvBackwardData : public ConvInstruction {
 public:
  ConvBackwardData(const ConvShape& shape, ValueId dy, ValueId w, ValueId dx)
      : ConvInstruction(shape, ConvPass::kBackwardData, {dy, w}, {dx}) {}
  void DescribeLayouts(LayoutGroups& groups) const override;
  void Run(const RunContext& context) override;

 private:
  ValueId x() const override { return outputs[0]; }
  ValueId y() const override { return inputs[0]; }
};

// The gradient of the weights, or their update by it: the gradient then lies in the scratch memory,
// which those of all layers share.
class ConvBackwardWeights : public ConvInstruction, public WeightsGradient {
 public:
  ConvBackwardWeights(const ConvShape& shape, ValueId x, ValueId dy, ValueId dw)
      : ConvInstruction(shape, ConvPass::kBackwardWeights, {x, dy}, {dw}) {}
  void DescribeLayouts(LayoutGroups& groups) const override;
  bool CanUpdate(const GemmKernels&) const override { return !IsHalf(shape_.dtype); }
  size_t scratch_bytes() const override;
  void Run(const RunContext& context) override;

 private:
  ValueId x() const override { return inputs[0]; }
  ValueId y() const override { return inputs[1]; }
  void Compute(const RunContext& context, void* dw) const;
};

// db[c] = sum of dy over everything else.
class BiasBackward : public Instruction {
 public:
  BiasBackward(DType dtype, ValueId dy, ValueId db) : Instruction({dy}, {db}), dtype_(dtype) {}
  std::string kind() const override { return "bias backward"; }
  void DescribeLayouts(LayoutGroups&) const override {}
  void Prepare(const PrepareContext& context) override;
  void Run(const RunContext& context) override;

 private:
  DType dtype_;
  PictureShape shape_;
  Layout layout_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_PLAN_INSTRUCTIONS_CONV_H_
