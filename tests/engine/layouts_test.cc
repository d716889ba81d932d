// Whatever the layouts, algorithms and fusions, a plan computes the same network.
#include "engine/plan/layouts.h"

#include <gtest/gtest.h>

#include <map>
#include <sstream>
#include <string>
#include <tuple>

#include "tests/engine/compare.h"
#include "tests/engine/forced_backend.h"
#include "tests/engine/gradient_check.h"
#include "tests/engine/network_runner.h"
#include "tests/engine/test_networks.h"

namespace lockstep {
namespace {

constexpr int64_t kBatch = 5;

// All that a network computes: gradients, running statistics, predictions, losses.
struct Results {
  NamedTensors arrays;
  LossSums train, evaluate;
};

Results Compute(TestDevice& device, const Graph& graph, DType dtype, bool fuse,
                int64_t batch = kBatch) {
  NetworkRunner runner(device, graph, dtype);
  RandomParameters(runner.variables, 3, 0.2);
  NamedTensors inputs = RandomInputs(graph, batch, 17);
  for (auto& [name, value] : inputs) {
    if (IsFloating(value.dtype())) value = value.Cast(dtype);
  }
  const auto train = runner.MakePlan(
      {.mode = Mode::kTrain, .batch = batch, .input_gradients = true, .fuse = fuse});
  const auto evaluate = runner.MakePlan({.mode = Mode::kEvaluate, .batch = batch, .fuse = fuse});
  Results results;
  results.train = NetworkRunner::Run(*train, inputs, {.seed = 5, .epoch = 2});
  results.arrays["x/grad"] = train->InputGradient("x");
  for (const auto& entry : runner.variables.entries()) {
    if (entry.role == Role::kParameter) {
      results.arrays[entry.name + "/grad"] = runner.variables.GetGradient(entry.name);
    } else {
      results.arrays[entry.name] = runner.variables.Get(entry.name);
    }
  }
  results.evaluate = NetworkRunner::Run(*evaluate, inputs);
  results.arrays["evaluated"] = evaluate->Output();
  results.arrays["predicted"] = runner.Predict(inputs.at("x"), fuse);
  return results;
}

void ExpectSame(const Results& found, const Results& wanted, double tolerance) {
  EXPECT_NEAR(found.train.loss, wanted.train.loss, tolerance * wanted.train.loss);
  EXPECT_NEAR(found.evaluate.loss, wanted.evaluate.loss, tolerance * wanted.evaluate.loss);
  EXPECT_EQ(found.train.count, wanted.train.count);
  for (const auto& [name, array] : wanted.arrays) {
    ExpectClose(found.arrays.at(name), array, tolerance, name);
  }
}

struct Network {
  const char* name;
  void (*add)(Graph&);
};

std::ostream& operator<<(std::ostream& out, const Network& network) { return out << network.name; }

class EveryLayout : public testing::TestWithParam<std::tuple<Network, int, const char*, bool>> {};

// A plain, unfused plan in double with the reference convolution.
Results ComputeExactly(const Graph& graph) {
  TestDevice device(std::make_unique<ForcedBackend>(1, 9, "reference"), {.fixed = true});
  return Compute(device, graph, DType::kFloat64, false);
}

TEST_P(EveryLayout, ComputesTheSameNetwork) {
  const auto& [network, policy, favourite, fuse] = GetParam();
  Graph graph;
  network.add(graph);
  static std::map<std::string, Results> wanted;  // computed once a network
  if (!wanted.contains(network.name)) wanted[network.name] = ComputeExactly(graph);
  const int threads = *favourite == '\0' ? 2 : 1;
  TestDevice device(std::make_unique<ForcedBackend>(threads, policy, favourite), {.fixed = true});
  ExpectSame(Compute(device, graph, DType::kFloat32, fuse), wanted.at(network.name), 2e-5);
}

INSTANTIATE_TEST_SUITE_P(
    Networks, EveryLayout,
    testing::Combine(testing::Values(Network{"MiniVgg", AddMiniVgg}, Network{"Zoo", AddZoo},
                                     Network{"Pooled", AddPooled}),
                     testing::Values(0, 1, 2),
                     testing::Values("", "onednn_direct", "onednn_winograd", "im2col_gemm",
                                     "implicit_gemm", "window_sums"),
                     testing::Bool()),
    [](const auto& info) {
      const std::string favourite = std::get<2>(info.param);
      return std::string(std::get<0>(info.param).name) + "_policy" +
             std::to_string(std::get<1>(info.param)) + "_" +
             (favourite.empty() ? "first" : favourite) +
             (std::get<3>(info.param) ? "_fused" : "_plain");
    });

// A parameter lies plain, and so does what is added to it: sums run over memory of one layout.
TEST(Layouts, PictureParameterStaysPlain) {
  Graph graph;
  const Var x = graph.Input("x", {{5, 6, 7}, DType::kFloat32});
  const Var p = graph.Parameter("p", {1, 16, 6, 7}, Initializer::LeCunNormal());
  const Var h = Relu(Add(Conv2d(x, Conv3x3(16), "c1"), p));
  SquaredLoss(graph, Conv2d(h, Conv3x3(16), "c2"));
  Results wanted;
  for (const int policy : {0, 1, 2}) {
    TestDevice device(std::make_unique<ForcedBackend>(1, policy, ""), {.fixed = true});
    const Results found = Compute(device, graph, DType::kFloat32, true, 1);
    if (wanted.arrays.empty()) {
      TestDevice plain(std::make_unique<ForcedBackend>(1, 9, "reference"), {.fixed = true});
      wanted = Compute(plain, graph, DType::kFloat64, false, 1);
    }
    ExpectSame(found, wanted, 2e-5);
  }
}

TEST(Layouts, DoublePlansOfEveryFusionAgree) {
  for (const auto add : {AddMiniVgg, AddZoo}) {
    Graph graph;
    add(graph);
    TestDevice device;
    const Results plain = Compute(device, graph, DType::kFloat64, false);
    ExpectSame(Compute(device, graph, DType::kFloat64, true), plain, 1e-12);
  }
}

// Also through an activation and a change of layout; not where windows overlap.
TEST(Layouts, ConvolutionsKnowWhichGradientsAreSparse) {
  Graph graph;
  AddPooled(graph);
  TestDevice timed(AlgorithmChooser::Options{});
  NetworkRunner runner(timed, graph, DType::kFloat32);
  runner.MakePlan({.mode = Mode::kTrain, .batch = kBatch});
  std::istringstream lines(timed.cache.ToString());
  std::map<std::string, int> sparse, dense;  // by the number of outputs
  for (std::string line; std::getline(lines, line);) {
    if (line.find(" backward_") == std::string::npos) continue;
    const size_t k = line.find(" k") + 1;
    const std::string outputs = line.substr(k, line.find(' ', k) - k);
    const bool is_sparse =
        line.find(" dy 1/3\t") != std::string::npos || line.find(" dy 1/4\t") != std::string::npos;
    ++(is_sparse ? sparse : dense)[outputs];
  }
  EXPECT_GT(sparse["k20"], 0);
  EXPECT_GT(sparse["k26"], 0);
  EXPECT_GT(dense["k7"], 0);
  EXPECT_EQ(dense["k20"] + dense["k26"] + sparse["k7"], 0);
}

TEST(Layouts, TimedChoicesComputeTheSameNetwork) {
  Graph graph;
  AddMiniVgg(graph);
  TestDevice timed(AlgorithmChooser::Options{});
  ExpectSame(Compute(timed, graph, DType::kFloat32, true), ComputeExactly(graph), 2e-5);
  EXPECT_TRUE(timed.cache.changed());
}

}  // namespace
}  // namespace lockstep
