// The gradient of every op, over odd shapes, strides and pads.
#include <gtest/gtest.h>

#include <functional>

#include "tests/engine/gradient_check.h"

namespace lockstep {
namespace {

struct OpCase {
  std::string name;
  Shape sample;
  std::function<Var(Var)> op;
  int64_t batch = 3;
};

std::ostream& operator<<(std::ostream& out, const OpCase& op) { return out << op.name; }

class OpGradient : public testing::TestWithParam<std::tuple<OpCase, bool>> {};

// The op alone between an input and the loss, so that nothing hides a wrong factor.
TEST_P(OpGradient, IsTheDerivative) {
  const auto& [op, fuse] = GetParam();
  Graph graph;
  SquaredLoss(graph, op.op(graph.Input("x", {op.sample, DType::kFloat32})));
  ExpectGradientsAreDerivatives(graph, op.batch, fuse);
}

// Behind another layer, so that its own input's gradient is a computed value.
TEST_P(OpGradient, IsTheDerivativeBehindAnotherLayer) {
  const auto& [op, fuse] = GetParam();
  Graph graph;
  Var x = graph.Input("x", {op.sample, DType::kFloat32});
  x = x.shape().ndim() == 4
          ? Conv2d(x, {.out_channels = x.shape()[1], .kernel_h = 1, .kernel_w = 1}, "before")
          : Tanh(Linear(x, {.out = x.shape().row_size()}, "before"));
  SquaredLoss(graph, op.op(x));
  ExpectGradientsAreDerivatives(graph, op.batch, fuse);
}

std::string CaseName(const testing::TestParamInfo<std::tuple<OpCase, bool>>& info) {
  return std::get<0>(info.param).name + (std::get<1>(info.param) ? "_fused" : "_plain");
}

OpCase Conv(const std::string& name, const Shape& sample, const Conv2dOptions& options) {
  return {"Conv" + name, sample, [=](Var x) { return Conv2d(x, options, "conv"); }};
}

INSTANTIATE_TEST_SUITE_P(
    Convolution, OpGradient,
    testing::Combine(
        testing::Values(
            Conv("3x3Padded", {3, 5, 7}, {.out_channels = 4, .pad_h = 1, .pad_w = 1}),
            Conv("NoBias", {5, 4, 6}, {.out_channels = 3, .bias = false}),
            Conv("1x1", {7, 3, 5}, {.out_channels = 6, .kernel_h = 1, .kernel_w = 1}),
            Conv("UnequalKernelStridePad", {3, 9, 11},
                 {.out_channels = 5,
                  .kernel_h = 5,
                  .kernel_w = 2,
                  .stride_h = 3,
                  .stride_w = 2,
                  .pad_h = 2,
                  .pad_w = 1}),
            Conv("Dilated", {2, 9, 10},
                 {.out_channels = 3,
                  .stride_w = 2,
                  .pad_h = 1,
                  .pad_w = 3,
                  .dilation_h = 2,
                  .dilation_w = 3}),
            Conv("Groups", {6, 5, 5}, {.out_channels = 9, .pad_h = 1, .pad_w = 1, .groups = 3}),
            Conv("Depthwise", {5, 6, 4},
                 {.out_channels = 5, .stride_h = 2, .pad_h = 1, .pad_w = 1, .groups = 5}),
            Conv("WindowIsPicture", {3, 4, 3}, {.out_channels = 4, .kernel_h = 4, .kernel_w = 3}),
            Conv("StrideSkipsInputs", {2, 7, 7},
                 {.out_channels = 2, .kernel_h = 2, .kernel_w = 2, .stride_h = 3, .stride_w = 3}),
            Conv("OnePixel", {5, 1, 1}, {.out_channels = 3, .pad_h = 1, .pad_w = 1})),
        testing::Bool()),
    CaseName);

INSTANTIATE_TEST_SUITE_P(
    Linear, OpGradient,
    testing::Combine(
        testing::Values(
            OpCase{"Linear", {7}, [](Var x) { return Linear(x, {.out = 5}, "l"); }},
            OpCase{"LinearNoBias",
                   {3},
                   [](Var x) { return Linear(x, {.out = 11, .bias = false}, "l"); }},
            OpCase{"LinearOfPicture", {3, 5, 3}, [](Var x) { return Linear(x, {.out = 4}, "l"); }},
            OpCase{"LinearOneToOne", {1}, [](Var x) { return Linear(x, {.out = 1}, "l"); }, 1}),
        testing::Bool()),
    CaseName);

INSTANTIATE_TEST_SUITE_P(
    Norm, OpGradient,
    testing::Combine(
        testing::Values(
            OpCase{"NormOfPicture", {5, 3, 4}, [](Var x) { return BatchNorm(x, {}, "bn"); }},
            OpCase{"NormOfMatrix", {7}, [](Var x) { return BatchNorm(x, {}, "bn"); }, 5},
            OpCase{"NormOfPixel", {3, 1, 1}, [](Var x) { return BatchNorm(x, {}, "bn"); }, 4},
            OpCase{
                "NormLargeEps", {3, 2, 5}, [](Var x) { return BatchNorm(x, {.eps = 0.1}, "bn"); }},
            OpCase{"NormRelu", {5, 3, 3}, [](Var x) { return Relu(BatchNorm(x, {}, "bn")); }},
            OpCase{"NormReluDropout",
                   {4, 5, 3},
                   [](Var x) { return Dropout(Relu(BatchNorm(x, {}, "bn")), 0.3, "drop"); }},
            OpCase{"NormReluOfMatrix", {6}, [](Var x) { return Relu(BatchNorm(x, {}, "bn")); }, 7},
            OpCase{"NormTanh", {3, 3, 3}, [](Var x) { return Tanh(BatchNorm(x, {}, "bn")); }}),
        testing::Bool()),
    CaseName);

INSTANTIATE_TEST_SUITE_P(
    Activation, OpGradient,
    testing::Combine(
        testing::Values(OpCase{"Relu", {3, 5, 2}, [](Var x) { return Relu(x); }},
                        OpCase{"LeakyRelu", {13}, [](Var x) { return LeakyRelu(x, 0.2); }},
                        OpCase{"LeakyReluFlat", {13}, [](Var x) { return LeakyRelu(x, 0.0); }},
                        OpCase{"Sigmoid", {3, 3, 5}, [](Var x) { return Sigmoid(x); }},
                        OpCase{"Tanh", {7}, [](Var x) { return Tanh(x); }},
                        OpCase{"Dropout", {3, 5, 4}, [](Var x) { return Dropout(x, 0.4, "drop"); }},
                        OpCase{
                            "DropoutOfMatrix", {17}, [](Var x) { return Dropout(x, 0.7, "drop"); }},
                        OpCase{"DropoutNone", {9}, [](Var x) { return Dropout(x, 0.0, "drop"); }},
                        OpCase{"Softmax", {5}, [](Var x) { return Softmax(x); }},
                        OpCase{"SoftmaxOneClass", {1}, [](Var x) { return Softmax(x); }}),
        testing::Bool()),
    CaseName);

OpCase MaxPool(const std::string& name, const Shape& sample, const Pool2dOptions& options) {
  return {"MaxPool" + name, sample, [=](Var x) { return MaxPool2d(x, options); }};
}
OpCase AveragePool(const std::string& name, const Shape& sample, const Pool2dOptions& options) {
  return {"AveragePool" + name, sample, [=](Var x) { return AveragePool2d(x, options); }};
}

INSTANTIATE_TEST_SUITE_P(
    Pooling, OpGradient,
    testing::Combine(
        testing::Values(
            MaxPool("2x2", {3, 6, 4}, {}), MaxPool("OddRoundedUp", {3, 5, 7}, {.cover_all = true}),
            MaxPool("OddRoundedDown", {3, 5, 7}, {}),
            MaxPool("Overlapping", {2, 7, 6}, {.kernel_h = 3, .kernel_w = 3}),
            MaxPool("PaddedRoundedUp", {2, 5, 6},
                    {.kernel_h = 3,
                     .kernel_w = 2,
                     .stride_h = 2,
                     .stride_w = 3,
                     .pad_h = 1,
                     .pad_w = 1,
                     .cover_all = true}),
            MaxPool("PaddedPixel", {3, 1, 1},
                    {.stride_h = 1, .stride_w = 1, .pad_h = 1, .pad_w = 1}),
            MaxPool("LargerThanPicture", {3, 1, 1}, {.cover_all = true}),
            AveragePool("LargerThanPicture", {3, 1, 2}, {.cover_all = true}),
            MaxPool("StrideBeyondWindow", {2, 7, 4},
                    {.stride_h = 3, .stride_w = 3, .cover_all = true}),
            AveragePool("2x2", {3, 6, 4}, {}),
            AveragePool("PaddedCounted", {3, 5, 7},
                        {.kernel_h = 3, .kernel_w = 3, .pad_h = 1, .pad_w = 1}),
            AveragePool(
                "PaddedNotCounted",
                {3, 5, 7},
                {.kernel_h = 3, .kernel_w = 3, .pad_h = 1, .pad_w = 1, .count_include_pad = false}),
            AveragePool("RoundedUp", {2, 5, 5}, {.stride_h = 3, .cover_all = true}),
            AveragePool("RoundedUpNotCounted", {2, 5, 5},
                        {.stride_h = 3, .cover_all = true, .count_include_pad = false}),
            OpCase{"GlobalMax", {3, 5, 3}, [](Var x) { return GlobalMaxPool2d(x); }},
            OpCase{"GlobalAverage", {5, 3, 7}, [](Var x) { return GlobalAveragePool2d(x); }}),
        testing::Bool()),
    CaseName);

Var ConcatOf(std::vector<Var> parts) { return Concat(parts); }

INSTANTIATE_TEST_SUITE_P(
    Shapes, OpGradient,
    testing::Combine(
        testing::Values(
            OpCase{"Flatten", {3, 5, 2}, [](Var x) { return Flatten(x); }},
            OpCase{"Reshape",
                   {6, 5},
                   [](Var x) {
                     return Reshape(x, {3, 2, 5});
                   }},
            OpCase{"AddTwice", {3, 4, 3}, [](Var x) { return Add(x, x); }},
            OpCase{"AddOfTwoPaths", {7}, [](Var x) { return Add(Tanh(x), Sigmoid(x)); }},
            OpCase{"UsedThrice", {3, 3, 3}, [](Var x) { return Add(Add(x, Tanh(x)), Sigmoid(x)); }},
            OpCase{"ConcatOfThree",
                   {3, 4, 5},
                   [](Var x) {
                     return ConcatOf({Tanh(x),
                                      Conv2d(x, {.out_channels = 5, .pad_h = 1, .pad_w = 1}, "c"),
                                      MaxPool2d(x, {.kernel_h = 3,
                                                    .kernel_w = 3,
                                                    .stride_h = 1,
                                                    .stride_w = 1,
                                                    .pad_h = 1,
                                                    .pad_w = 1})});
                   }},
            OpCase{"ConcatOfMatrices",
                   {5},
                   [](Var x) {
                     return ConcatOf(
                         {Linear(x, {.out = 3}, "a"), x, Tanh(Linear(x, {.out = 1}, "b"))});
                   }},
            OpCase{"ConcatOfSameTwice",
                   {3, 2, 3},
                   [](Var x) {
                     return ConcatOf({x, x});
                   }},
            OpCase{"ConcatOfOne", {3}, [](Var x) { return ConcatOf({x}); }}),
        testing::Bool()),
    CaseName);

}  // namespace
}  // namespace lockstep
