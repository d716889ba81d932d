#include <gtest/gtest.h>

#include <cmath>

#include "engine/graph/layers.h"
#include "engine/train/gradient_check.h"
#include "kernels/backend.h"

namespace lockstep {
namespace {

// Running statistics have no gradients at all.
TEST(BadGradient, IsNamedAmongArraysThatAreNotTrained) {
  Graph graph;
  const Var x = graph.Input("x", {Shape({6}), DType::kFloat32});
  const Var h = BatchNorm(Linear(x, {.out = 5}, "l1"), {}, "bn");
  const Var y = Linear(h, {.out = 3}, "l2");
  graph.SetOutput(y);
  graph.SetLoss(SoftmaxCrossEntropy(y, graph.Input("t", {Shape({}), DType::kInt32})));
  const auto backend = MakeCpuBackend(1);
  Network network(graph, *backend, {.frozen = {"l2/W"}});
  network.ClearGradients();
  const auto spoil = [&](const char* name) {
    static_cast<float*>(network.variables().Find(name).gradient)[1] = std::nanf("");
  };
  EXPECT_EQ(BadGradient(network), "");
  spoil("l2/W");  // which nobody uses
  EXPECT_EQ(BadGradient(network), "");
  spoil("l1/b");
  EXPECT_EQ(BadGradient(network), "l1/b");
}

}  // namespace
}  // namespace lockstep
