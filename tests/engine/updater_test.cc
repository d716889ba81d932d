#include "engine/optim/updater.h"

#include <gtest/gtest.h>

#include "engine/graph/layers.h"
#include "engine/train/network.h"
#include "tests/engine/compare.h"
#include "tests/engine/gradient_check.h"

namespace lockstep {
namespace {

// Checkpoints from before prints left numbers out must still be those of the same job.
TEST(Optimizer, PrintsItsOwnNumbersAndComparesAllOfItsForm) {
  EXPECT_EQ(MakeAdaGrad()->ToString(), "adagrad eps=1e-08");
  EXPECT_EQ(MakeAdaGrad()->settings(), "adagrad rho=0 eps=1e-08");
  EXPECT_EQ(MakeAdaDelta()->ToString(), "adadelta rho=0.95 eps=1e-06");
  EXPECT_EQ(MakeAdaDelta()->settings(), MakeAdaDelta()->ToString());
  EXPECT_EQ(MakeAdam()->ToString(), "adam beta1=0.9 beta2=0.999 eps=1e-08 eta=1");
  EXPECT_EQ(MakeAdam()->settings(), MakeAdam()->ToString() + " decoupled_weight_decay=0");
  EXPECT_EQ(MakeSgd()->settings(), "sgd");
}

// Momentum and weight decay would move it even without a gradient.
TEST(Updater, LeavesParametersAloneThatTheNetworkFreezes) {
  Graph graph;
  const Var x = graph.Input("x", {{3, 5, 5}, DType::kFloat32});
  const Var h = Relu(BatchNorm(Conv2d(x, {.out_channels = 4}, "conv"), {}, "bn"));
  LabelLoss(graph, Linear(h, {.out = 3}, "fc"));
  const int64_t ids[] = {0, 1, 2, 3};
  for (const int lanes : {0, 2}) {
    const auto backend = MakeCpuBackend(1);
    Network network(graph, *backend, {.frozen = {"conv/W", "bn/gamma"}, .lanes = lanes});
    Variables& variables = network.variables();
    Updater updater(variables, *backend, MakeMomentum(0.9), {.weight_decay = 0.1});
    updater.SetState("conv/W", "v", RandomNormal(Shape({4, 3, 3, 3}), 1));
    NamedTensors before;
    for (const auto& entry : variables.entries()) before[entry.name] = variables.Get(entry.name);
    const NamedTensors inputs = RandomInputs(graph, 4, 5);
    const Tensor rows = inputs.at("x").Cast(DType::kFloat32);
    for (int step = 0; step < 2; ++step) {
      const LossSums sums =
          network.Train({.x = rows.data(), .labels = inputs.at("t").data(), .ids = ids, .rows = 4});
      updater.Update(sums.count, 0.1);
    }
    for (const std::string name : {"conv/W", "bn/gamma"}) {
      EXPECT_TRUE(SameBits(variables.Get(name), before.at(name))) << name << " lanes " << lanes;
    }
    for (const std::string name : {"conv/b", "bn/beta", "fc/W", "fc/b"}) {
      EXPECT_FALSE(SameBits(variables.Get(name), before.at(name))) << name << " lanes " << lanes;
    }
  }
}

}  // namespace
}  // namespace lockstep
