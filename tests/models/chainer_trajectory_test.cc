// Five steps of training by the real Chainer, followed array by array.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <tuple>

#include "engine/optim/updater.h"
#include "models/model.h"
#include "models/model_file.h"
#include "tests/engine/compare.h"
#include "tests/engine/forced_backend.h"
#include "tests/engine/network_runner.h"
#include "tests/models/chainer_networks.h"
#include "tests/models/fixtures.h"

namespace lockstep {
namespace {

constexpr double kTolerance = 1e-4;

struct Recipe {
  const char* name;
  double learning_rate;  // 0: the optimizer's own
  std::function<std::unique_ptr<Optimizer>()> make;
  UpdateHooks hooks = {};
};

std::ostream& operator<<(std::ostream& out, const Recipe& recipe) { return out << recipe.name; }

// As make_fixtures.py names and sets them.
const Recipe kRecipes[] = {
    {"sgd", 0.1, [] { return MakeSgd(); }},
    {"momentum_wd", 0.05, [] { return MakeMomentum(0.9); }, {.weight_decay = 5e-4}},
    {"adam", 0.0, [] { return MakeAdam(); }},
    {"nag", 0.05, [] { return MakeNesterov(0.9, NesterovForm::kChainer); }},
    {"adamw", 0.0, [] { return MakeAdam({.decoupled_weight_decay = 0.01}); }},
    {"gradclip_sgd", 0.1, [] { return MakeSgd(); }, {.gradient_clipping = 0.5}},
    {"rmsprop", 0.0, [] { return MakeRmsProp(); }},
    {"adagrad", 0.01, [] { return MakeAdaGrad(); }},
    {"adadelta", 0.0, [] { return MakeAdaDelta(); }},
};

std::unique_ptr<Graph> MakeGraph(const std::string& network, const Shape& x) {
  if (network == "conv") return SmallConv({x[2], x[3], x[4]});
  return BuildModel({.name = "mlp", .in_shape = {x[2]}, .classes = 10, .hidden = {16, 16}}).graph;
}

// Weights, running statistics and the optimizer's state behind step `k`.
void ExpectState(const NpzReader& file, int64_t k, const Variables& variables,
                 const Updater& updater) {
  const std::string step = "step" + std::to_string(k) + "/";
  for (const auto& entry : variables.entries()) {
    ExpectClose(variables.Get(entry.name), file.Read(step + entry.name), kTolerance,
                step + entry.name);
    if (k == 0 || entry.role != Role::kParameter) continue;
    for (const std::string& state : updater.optimizer().state_names()) {
      const std::string key = step + "state/" + entry.name + "/" + state;
      ExpectClose(updater.GetState(entry.name, state), file.Read(key), kTolerance, key);
    }
  }
}

void ExpectGradients(const NpzReader& file, int64_t k, const Variables& variables, int64_t count) {
  for (const auto& entry : variables.entries()) {
    if (entry.role != Role::kParameter) continue;
    const std::string key = "step" + std::to_string(k) + "/grad/" + entry.name;
    Tensor mean = variables.GetGradient(entry.name).Cast(DType::kFloat64).Clone();
    for (double& g : mean.values<double>()) g /= static_cast<double>(count);
    ExpectClose(mean, file.Read(key), kTolerance, key);
  }
}

Tensor Row(const Tensor& steps, int64_t k) {
  Tensor row(steps.dtype(), Shape(steps.shape().dims().subspan(1)));
  std::memcpy(row.data(),
              static_cast<const char*>(steps.data()) + static_cast<size_t>(k) * row.bytes(),
              row.bytes());
  return row;
}

void ExpectToFollow(const std::string& path, const std::string& network, const Recipe& recipe,
                    TestDevice& device, DType dtype, bool fuse) {
  const NpzReader file(path);
  const Tensor x = file.Read("x"), t = file.Read("t").Cast(DType::kInt32);
  const Tensor losses = file.Read("losses").Cast(DType::kFloat64);
  const Tensor accuracies = file.Read("accuracies").Cast(DType::kFloat64);

  const auto graph = MakeGraph(network, x.shape());
  NetworkRunner runner(device, *graph, dtype);
  Variables& variables = runner.variables;
  LoadModelNpz(path, variables, {.prefix = "step0/"});
  Updater updater(variables, *device.backend, recipe.make(), recipe.hooks);
  const double rate =
      recipe.learning_rate > 0 ? recipe.learning_rate : updater.optimizer().default_learning_rate();
  const auto plan = runner.MakePlan({.mode = Mode::kTrain, .batch = x.shape()[1], .fuse = fuse});
  ExpectState(file, 0, variables, updater);
  for (int64_t k = 0; k < x.shape()[0]; ++k) {
    const Tensor batch = Row(x, k).Cast(dtype), labels = Row(t, k);
    const LossSums sums = NetworkRunner::Run(*plan, {{"x", batch}, {"t", labels}});
    ASSERT_EQ(sums.count, x.shape()[1]);
    const double loss = losses.values<double>()[static_cast<size_t>(k)];
    EXPECT_NEAR(sums.loss / static_cast<double>(sums.count), loss, kTolerance * loss);
    EXPECT_NEAR(sums.metric / static_cast<double>(sums.metric_count),
                accuracies.values<double>()[static_cast<size_t>(k)], 1e-6);
    ExpectGradients(file, k + 1, variables, sums.count);
    updater.Update(sums.count, rate);
    ExpectState(file, k + 1, variables, updater);
  }
}

class Trajectory : public testing::TestWithParam<std::tuple<const char*, Recipe, DType, bool>> {};

TEST_P(Trajectory, EveryArrayFollowsChainer) {
  const auto& [network, recipe, dtype, fuse] = GetParam();
  LOCKSTEP_NEEDS_CHAINER(path, std::string("traj_") + network + "_" + recipe.name + ".npz");
  TestDevice device;
  ExpectToFollow(path, network, recipe, device, dtype, fuse);
}

INSTANTIATE_TEST_SUITE_P(Chainer, Trajectory,
                         testing::Combine(testing::Values("mlp", "conv"),
                                          testing::ValuesIn(kRecipes),
                                          testing::Values(DType::kFloat32, DType::kFloat64),
                                          testing::Bool()),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param)) + "_" +
                                  std::get<1>(info.param).name + "_" +
                                  std::string(Name(std::get<2>(info.param))) +
                                  (std::get<3>(info.param) ? "_fused" : "_plain");
                         });

// Which one a job takes is a matter of time, so each must do.
class ConvolutionTrajectory
    : public testing::TestWithParam<std::tuple<const char*, const char*, bool>> {};

TEST_P(ConvolutionTrajectory, EveryArrayFollowsChainerWithEachAlgorithm) {
  const auto& [algorithm, name, fuse] = GetParam();
  LOCKSTEP_NEEDS_CHAINER(path, std::string("traj_conv_") + name + ".npz");
  const auto recipe = std::find_if(std::begin(kRecipes), std::end(kRecipes),
                                   [&](const Recipe& r) { return std::string(r.name) == name; });
  ASSERT_NE(recipe, std::end(kRecipes));
  for (const int policy : {0, 1}) {
    SCOPED_TRACE("layouts " + std::to_string(policy));
    TestDevice device(std::make_unique<ForcedBackend>(2, policy, algorithm), {.fixed = true});
    ExpectToFollow(path, "conv", *recipe, device, DType::kFloat32, fuse);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Chainer, ConvolutionTrajectory,
    testing::Combine(testing::Values("winograd_2x3", "winograd_4x3", "winograd_2x3_fused",
                                     "winograd_4x3_fused", "onednn_direct", "implicit_gemm",
                                     "window_sums", "reference"),
                     testing::Values("momentum_wd", "adam"), testing::Bool()),
    [](const auto& info) {
      return std::string(std::get<0>(info.param)) + "_" + std::get<1>(info.param) +
             (std::get<2>(info.param) ? "_fused" : "_plain");
    });

}  // namespace
}  // namespace lockstep
