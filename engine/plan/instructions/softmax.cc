#include "engine/plan/instructions/softmax.h"

#include "engine/plan/layouts.h"

namespace lockstep {

void SoftmaxForward::DescribeLayouts(LayoutGroups& groups) const {
  groups.Plain(inputs[0]);
  groups.Plain(outputs[0]);
}

void SoftmaxForward::Run(const RunContext& context) {
  context.backend->softmax().Forward(dtype_, rows_, classes_, context.at(inputs[0]),
                                     context.at(outputs[0]));
}

void SoftmaxBackward::DescribeLayouts(LayoutGroups& groups) const {
  for (const ValueId id : inputs) groups.Plain(id);
  groups.Plain(outputs[0]);
}

void SoftmaxBackward::Run(const RunContext& context) {
  context.backend->softmax().Backward(dtype_, rows_, classes_, context.at(inputs[0]),
                                      context.at(inputs[1]), context.at(outputs[0]));
}

std::string LossInstruction::kind() const {
  return kind_ == Kind::kSoftmaxCrossEntropy ? "softmax cross entropy" : "squared error";
}

void LossInstruction::DescribeLayouts(LayoutGroups& groups) const {
  for (const ValueId id : inputs) groups.Plain(id);
  for (const ValueId id : outputs) groups.Plain(id);
}

void LossInstruction::Run(const RunContext& context) {
  SoftmaxKernels& kernels = context.backend->softmax();
  void* dx = outputs.size() > 1 ? context.at(outputs[1]) : nullptr;
  void* loss = context.at(outputs[0]);
  if (kind_ == Kind::kSoftmaxCrossEntropy) {
    kernels.CrossEntropy(dtype_, rows_, columns_, context.at(inputs[0]),
                         context.at<const int32_t>(inputs[1]), context.sums, loss, dx);
  } else {
    kernels.SquaredError(dtype_, rows_ * columns_, context.at(inputs[0]), context.at(inputs[1]),
                         context.sums, loss, dx);
  }
}

}  // namespace lockstep
