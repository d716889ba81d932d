// Instructions of softmax and of the losses.
#ifndef LOCKSTEP_ENGINE_PLAN_INSTRUCTIONS_SOFTMAX_H_
#define LOCKSTEP_ENGINE_PLAN_INSTRUCTIONS_SOFTMAX_H_

#include <string>

#include "engine/plan/instruction.h"

namespace lockstep {

class SoftmaxForward : public Instruction {
 public:
  SoftmaxForward(DType dtype, int64_t rows, int64_t classes, ValueId x, ValueId y)
      : Instruction({x}, {y}), dtype_(dtype), rows_(rows), classes_(classes) {}
  std::string kind() const override { return "softmax forward"; }
  void DescribeLayouts(LayoutGroups& groups) const override;
  int reusable_input() const override { return 0; }
  void Run(const RunContext& context) override;

 private:
  DType dtype_;
  int64_t rows_, classes_;
};

class SoftmaxBackward : public Instruction {
 public:
  SoftmaxBackward(DType dtype, int64_t rows, int64_t classes, ValueId y, ValueId dy, ValueId dx)
      : Instruction({y, dy}, {dx}), dtype_(dtype), rows_(rows), classes_(classes) {}
  std::string kind() const override { return "softmax backward"; }
  void DescribeLayouts(LayoutGroups& groups) const override;
  void Run(const RunContext& context) override;

 private:
  DType dtype_;
  int64_t rows_, classes_;
};

// Adds the batch's loss and metric to RunContext::sums. Output 0 is the loss value itself (a
// sum); output 1, when there, the gradient of the sum: one pass over the logits computes both.
class LossInstruction : public Instruction {
 public:
  enum class Kind : uint8_t { kSoftmaxCrossEntropy, kSquaredError };
  LossInstruction(Kind kind, DType dtype, int64_t rows, int64_t columns, ValueId x, ValueId target,
                  ValueId loss)
      : Instruction({x, target}, {loss}),
        kind_(kind),
        dtype_(dtype),
        rows_(rows),
        columns_(columns) {}
  std::string kind() const override;
  void DescribeLayouts(LayoutGroups& groups) const override;
  void Run(const RunContext& context) override;

 private:
  Kind kind_;
  DType dtype_;
  int64_t rows_, columns_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_PLAN_INSTRUCTIONS_SOFTMAX_H_
