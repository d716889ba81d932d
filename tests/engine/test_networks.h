// Networks in which every op meets every other, over odd sizes.
#ifndef LOCKSTEP_TESTS_ENGINE_TEST_NETWORKS_H_
#define LOCKSTEP_TESTS_ENGINE_TEST_NETWORKS_H_

#include <string>
#include <vector>

#include "tests/engine/gradient_check.h"

namespace lockstep {

inline Conv2dOptions Conv3x3(int64_t channels, bool bias = false) {
  return {.out_channels = channels, .pad_h = 1, .pad_w = 1, .bias = bias};
}

// A narrow VGG over 13x10 pictures: channel counts that fit blocks of 16, of 8, and none.
inline void AddMiniVgg(Graph& graph) {
  Var x = graph.Input("x", {{3, 13, 10}, DType::kFloat32});
  const auto block = [&](int64_t channels, const std::string& name, bool drop) {
    x = Relu(BatchNorm(Conv2d(x, Conv3x3(channels), name + "/conv"), {}, name + "/bn"));
    x = drop ? Dropout(x, 0.3, name + "/dropout") : MaxPool2d(x, {.cover_all = true});
  };
  block(16, "b1", true);
  block(32, "b2", false);
  block(24, "b3", true);
  block(10, "b4", false);
  block(16, "b5", false);
  block(16, "b6", false);
  x = Linear(Dropout(x, 0.5, "d1"), {.out = 20, .bias = false}, "fc1");
  x = Relu(BatchNorm(x, {}, "bn_fc1"));
  LabelLoss(graph, Linear(Dropout(x, 0.5, "d2"), {.out = 7}, "fc2"));
}

// Convolutions behind which maxima are taken, of many taps: gradients that are mostly zeros.
inline void AddPooled(Graph& graph) {
  Var x = graph.Input("x", {{3, 17, 15}, DType::kFloat32});
  const Conv2dOptions wide{.out_channels = 20, .kernel_h = 5, .kernel_w = 5, .pad_h = 1};
  x = MaxPool2d(Conv2d(x, wide, "c1"), {.cover_all = true});
  x = MaxPool2d(Tanh(Conv2d(x, Conv3x3(26, true), "c2")), {});
  x = MaxPool2d(Conv2d(x, Conv3x3(7, true), "c3"), {.kernel_h = 3, .kernel_w = 2, .stride_h = 1});
  LabelLoss(graph, Linear(x, {.out = 7}, "l"));
}

// Nothing in it selects among its inputs, as ReLU does: what is off by a rounding stays near.
inline void AddSmooth(Graph& graph) {
  Var x = graph.Input("x", {{3, 13, 10}, DType::kFloat32});
  x = Tanh(BatchNorm(Conv2d(x, Conv3x3(16), "c1"), {}, "bn"));
  x = AveragePool2d(Sigmoid(Conv2d(x, Conv3x3(8, true), "c2")), {});
  LabelLoss(graph, Linear(Dropout(x, 0.3, "d"), {.out = 7}, "l"));
}

// Branches, sums and joins; every other op.
inline void AddZoo(Graph& graph) {
  Var x = graph.Input("x", {{5, 11, 9}, DType::kFloat32});
  x = Relu(Conv2d(x, Conv3x3(16, true), "stem"));
  const Var a = Conv2d(Relu(BatchNorm(x, {}, "a/bn")), Conv3x3(16), "a/conv");
  const Var sum = Add(x, a);
  const Var parts[] = {
      LeakyRelu(Conv2d(
          sum, {.out_channels = 32, .kernel_h = 5, .pad_h = 2, .pad_w = 1, .groups = 4}, "c1")),
      MaxPool2d(
          sum,
          {.kernel_h = 3, .kernel_w = 3, .stride_h = 1, .stride_w = 1, .pad_h = 1, .pad_w = 1}),
      Sigmoid(Conv2d(sum, {.out_channels = 8, .kernel_h = 1, .kernel_w = 1}, "c2")),
      Conv2d(sum, {.out_channels = 3, .pad_h = 2, .pad_w = 2, .dilation_h = 2, .dilation_w = 2},
             "c3")};
  Var y = Concat(parts);
  y = AveragePool2d(y, {.kernel_h = 3,
                        .kernel_w = 3,
                        .pad_h = 1,
                        .pad_w = 1,
                        .cover_all = true,
                        .count_include_pad = false});
  y = Dropout(Tanh(Conv2d(y, {.out_channels = 16, .stride_h = 2, .stride_w = 2}, "c4")), 0.2, "d");
  const Var pooled[] = {Flatten(GlobalAveragePool2d(y)), Flatten(GlobalMaxPool2d(y)),
                        Softmax(Linear(y, {.out = 6}, "l1"))};
  const Var pixel = Conv2d(GlobalAveragePool2d(y), Conv3x3(16), "pixel");
  const Var grown = MaxPool2d(pixel, {.stride_h = 1, .stride_w = 1, .pad_h = 1, .pad_w = 1});
  const Var joined[] = {Concat(pooled), Reshape(grown, {64})};
  SquaredLoss(graph, Linear(Concat(joined), {.out = 5}, "out"));
}

}  // namespace lockstep

#endif  // LOCKSTEP_TESTS_ENGINE_TEST_NETWORKS_H_
