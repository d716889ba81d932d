#include "engine/plan/instructions/conv.h"

#include "engine/plan/layouts.h"
#include "engine/tensor/device_memory.h"

namespace lockstep {
namespace {

Layout LayoutOf(const PrepareContext& context, ValueId id) {
  return context.values[static_cast<size_t>(id)].layout;
}

int64_t WeightsSize(const ConvShape& shape) {
  return shape.k * (shape.c / shape.groups) * shape.kh * shape.kw;
}

}  // namespace

std::string ConvInstruction::kind() const {
  switch (pass_) {
    case ConvPass::kForward:
      return "conv forward";
    case ConvPass::kBackwardData:
      return "conv backward data";
    case ConvPass::kBackwardWeights:
      return "conv backward weights";
  }
  return "conv";
}

ConvCase ConvInstruction::Case(const PrepareContext& context) const {
  ConvShape shape = shape_;
  if (pass_ != ConvPass::kForward) {
    shape.dy_sparsity = context.values[static_cast<size_t>(y())].sparsity;
  }
  return {shape, pass_, LayoutOf(context, x()), LayoutOf(context, y())};
}

double ConvInstruction::EstimateSeconds(const PrepareContext& context) const {
  return context.chooser.Seconds(Case(context));
}

void ConvInstruction::Prepare(const PrepareContext& context) {
  const ConvCase problem = Case(context);
  algorithm_ = context.chooser.Choose(problem);
  kernel_ = context.backend.conv().Make(problem.shape, pass_, algorithm_, problem.x_layout,
                                        problem.y_layout);
}

size_t ConvInstruction::scratch_bytes() const {
  return Padded(kernel_->prepared_bytes()) + kernel_->scratch_bytes();
}

const void* ConvInstruction::Weights(const void* plain, const RunContext& context) const {
  if (kernel_->prepared_bytes() == 0) return plain;
  kernel_->PrepareWeights(plain, context.scratch);
  return context.scratch;
}

void* ConvInstruction::KernelScratch(const RunContext& context) const {
  return static_cast<char*>(context.scratch) + Padded(kernel_->prepared_bytes());
}

ConvForward::ConvForward(const ConvShape& shape, ValueId x, ValueId w, std::optional<ValueId> b,
                         ValueId y)
    : ConvInstruction(shape, ConvPass::kForward, {x, w}, {y}), has_bias_(b.has_value()) {
  if (b) inputs.push_back(*b);
}

void ConvForward::DescribeLayouts(LayoutGroups& groups) const {
  groups.Convolved(inputs[0]);
  groups.Convolved(outputs[0]);
}

void ConvForward::FoldBatchNorm(ValueId gamma, ValueId beta, ValueId mean, ValueId variance,
                                double eps) {
  folded_ = static_cast<int>(inputs.size());
  eps_ = eps;
  inputs.insert(inputs.end(), {gamma, beta, mean, variance});
}

size_t ConvForward::FoldedBytes() const {
  if (folded_ < 0) return 0;
  const auto weights = static_cast<size_t>(WeightsSize(shape_));
  const size_t element = SizeOf(shape_.dtype);
  return Padded(weights * element) + Padded(static_cast<size_t>(shape_.k) * element);
}

size_t ConvForward::scratch_bytes() const {
  return Padded(ConvInstruction::scratch_bytes()) + FoldedBytes();
}

void ConvForward::Run(const RunContext& context) {
  const void* weights = context.at(inputs[1]);
  const void* bias = has_bias_ ? context.at(inputs[2]) : nullptr;
  if (folded_ >= 0) {
    char* folded = static_cast<char*>(context.scratch) + Padded(ConvInstruction::scratch_bytes());
    char* folded_bias =
        folded + FoldedBytes() - Padded(static_cast<size_t>(shape_.k) * SizeOf(shape_.dtype));
    const auto norm = [&](size_t i) {
      return context.at(inputs[static_cast<size_t>(folded_) + i]);
    };
    context.backend->norm().FoldIntoWeights(
        shape_.dtype, shape_.k, shape_.c / shape_.groups * shape_.kh * shape_.kw, eps_,
        {.gamma = norm(0), .beta = norm(1), .mean = norm(2), .variance = norm(3)}, weights, bias,
        folded, folded_bias);
    weights = folded;
    bias = folded_bias;
  }
  kernel_->Run({.x = context.at(inputs[0]),
                .y = context.at(outputs[0]),
                .weights = Weights(weights, context),
                .bias = bias,
                .activation = activation,
                .scratch = KernelScratch(context)});
}

void ConvBackwardData::DescribeLayouts(LayoutGroups& groups) const {
  groups.Convolved(inputs[0]);
  groups.Convolved(outputs[0]);
}

void ConvBackwardData::Run(const RunContext& context) {
  kernel_->Run({.x = context.at(outputs[0]),
                .y = context.at(inputs[0]),
                .weights = Weights(context.at(inputs[1]), context),
                .scratch = KernelScratch(context)});
}

void ConvBackwardWeights::DescribeLayouts(LayoutGroups& groups) const {
  groups.Convolved(inputs[0]);
  groups.Convolved(inputs[1]);
}

size_t ConvBackwardWeights::scratch_bytes() const {
  const size_t kernels = ConvInstruction::scratch_bytes();
  if (parameter < 0) return kernels;
  return Padded(kernels) + static_cast<size_t>(WeightsSize(shape_)) * SizeOf(shape_.dtype);
}

void ConvBackwardWeights::Compute(const RunContext& context, void* dw) const {
  kernel_->Run({.x = context.at(inputs[0]),
                .y = context.at(inputs[1]),
                .dw = dw,
                .scratch = KernelScratch(context)});
}

void ConvBackwardWeights::Run(const RunContext& context) {
  if (context.updates == nullptr || parameter < 0) {
    return Compute(context, context.at(outputs[0]));
  }
  void* const dw = static_cast<char*>(context.scratch) + Padded(ConvInstruction::scratch_bytes());
  Compute(context, dw);
  const ProductUpdate update = context.updates->UpdateOf(parameter);
  context.backend->optimizer().Update(shape_.dtype, update.args, update.numbers,
                                      WeightsSize(shape_), update.p, dw, update.s0, update.s1);
}

void BiasBackward::Prepare(const PrepareContext& context) {
  const PlanValue& dy = context.values[static_cast<size_t>(inputs[0])];
  shape_ = PictureOf(dy.type.shape);
  layout_ = dy.layout;
}

void BiasBackward::Run(const RunContext& context) {
  context.backend->reduce().ChannelSums(dtype_, shape_, layout_, context.at(inputs[0]),
                                        context.at(outputs[0]));
}

}  // namespace lockstep
