#include "engine/plan/instructions/linear.h"

#include "engine/plan/layouts.h"

namespace lockstep {

LinearForward::LinearForward(const LinearShape& shape, ValueId x, ValueId w,
                             std::optional<ValueId> b, ValueId y)
    : Instruction({x, w}, {y}), shape_(shape) {
  if (b) inputs.push_back(*b);
}

// The features of a picture count in plain order, as Chainer's reshape does.
void LinearForward::DescribeLayouts(LayoutGroups& groups) const { groups.Plain(inputs[0]); }

void LinearForward::Run(const RunContext& context) {
  context.backend->gemm().Gemm(shape_.dtype,
                               {.trans_b = true,
                                .m = shape_.n,
                                .n = shape_.out,
                                .k = shape_.in,
                                .a = context.at(inputs[0]),
                                .lda = shape_.in,
                                .b = context.at(inputs[1]),
                                .ldb = shape_.in,
                                .c = context.at(outputs[0]),
                                .ldc = shape_.out,
                                .bias = inputs.size() > 2 ? context.at(inputs[2]) : nullptr,
                                .activation = activation});
}

void LinearBackwardData::DescribeLayouts(LayoutGroups& groups) const { groups.Plain(outputs[0]); }

void LinearBackwardData::Run(const RunContext& context) {
  context.backend->gemm().Gemm(shape_.dtype, {.m = shape_.n,
                                              .n = shape_.in,
                                              .k = shape_.out,
                                              .a = context.at(inputs[0]),
                                              .lda = shape_.out,
                                              .b = context.at(inputs[1]),
                                              .ldb = shape_.in,
                                              .c = context.at(outputs[0]),
                                              .ldc = shape_.in});
}

void LinearBackwardWeights::DescribeLayouts(LayoutGroups& groups) const { groups.Plain(inputs[0]); }

GemmArgs LinearBackwardWeights::Product() const {
  return {.trans_a = true,
          .m = shape_.out,
          .n = shape_.in,
          .k = shape_.n,
          .lda = shape_.out,
          .ldb = shape_.in,
          .wide_c = true,
          .ldc = shape_.in};
}

bool LinearBackwardWeights::CanUpdate(const GemmKernels& gemm) const {
  return !IsHalf(shape_.dtype) && gemm.can_update(shape_.dtype, Product());
}

void LinearBackwardWeights::Run(const RunContext& context) {
  GemmArgs product = Product();
  product.a = context.at(inputs[1]);
  product.b = context.at(inputs[0]);
  product.c = context.at(outputs[0]);
  GemmKernels& gemm = context.backend->gemm();
  if (context.updates != nullptr && parameter >= 0) {
    gemm.GemmUpdate(shape_.dtype, product, context.updates->UpdateOf(parameter));
  } else {
    gemm.Gemm(shape_.dtype, product);
  }
}

}  // namespace lockstep
