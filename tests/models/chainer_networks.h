// The small convolution network of the golden files.
#ifndef LOCKSTEP_TESTS_MODELS_CHAINER_NETWORKS_H_
#define LOCKSTEP_TESTS_MODELS_CHAINER_NETWORKS_H_

#include <memory>

#include "engine/graph/layers.h"

namespace lockstep {

// conv3x3(8)-BN-ReLU-pool, conv3x3(16)-BN-ReLU-pool, linear(10), as L.Classifier wraps it.
inline std::unique_ptr<Graph> SmallConv(const Shape& picture) {
  auto graph = std::make_unique<Graph>();
  Var x = graph->Input("x", {picture, DType::kFloat32});
  const auto block = [](Var in, int64_t channels, const std::string& name) {
    Var h = Conv2d(in, {.out_channels = channels, .pad_h = 1, .pad_w = 1, .bias = false},
                   name + "/conv");
    return MaxPool2d(Relu(BatchNorm(h, {}, name + "/bn")), {.cover_all = true});
  };
  x = block(block(x, 8, "predictor/block1"), 16, "predictor/block2");
  x = Linear(x, {.out = 10}, "predictor/fc");
  graph->SetOutput(x);
  graph->SetLoss(SoftmaxCrossEntropy(x, graph->Input("t", {Shape({}), DType::kInt32})));
  return graph;
}

}  // namespace lockstep

#endif  // LOCKSTEP_TESTS_MODELS_CHAINER_NETWORKS_H_
