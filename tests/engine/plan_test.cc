#include "engine/plan/plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "engine/graph/layers.h"
#include "kernels/error.h"
#include "tests/engine/compare.h"
#include "tests/engine/gradient_check.h"
#include "tests/engine/network_runner.h"
#include "tests/engine/test_networks.h"

namespace lockstep {
namespace {

NamedTensors CastInputs(const Graph& graph, int64_t batch, DType dtype, uint64_t seed = 17) {
  NamedTensors inputs = RandomInputs(graph, batch, seed);
  for (auto& [name, value] : inputs) {
    if (IsFloating(value.dtype())) value = value.Cast(dtype);
  }
  return inputs;
}

// Rows [begin, end) of each input.
NamedTensors Rows(const NamedTensors& inputs, int64_t begin, int64_t end) {
  NamedTensors rows;
  for (const auto& [name, value] : inputs) {
    Tensor part(value.dtype(), value.shape().WithDim(0, end - begin));
    const size_t row = value.bytes() / static_cast<size_t>(value.shape()[0]);
    std::memcpy(part.data(),
                static_cast<const char*>(value.data()) + static_cast<size_t>(begin) * row,
                part.bytes());
    rows[name] = part;
  }
  return rows;
}

NamedTensors Gradients(const Variables& variables) {
  NamedTensors gradients;
  for (const auto& entry : variables.entries()) {
    if (entry.role == Role::kParameter) gradients[entry.name] = variables.GetGradient(entry.name);
  }
  return gradients;
}

void ExpectSameBits(const NamedTensors& a, const NamedTensors& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, array] : a) EXPECT_TRUE(SameBits(array, b.at(name))) << name;
}

TEST(Plan, RunsGiveTheSameBits) {
  Graph graph;
  AddMiniVgg(graph);
  const NamedTensors inputs = CastInputs(graph, 6, DType::kFloat32);
  NamedTensors first;
  double loss = 0.0;
  for (int device_number = 0; device_number < 2; ++device_number) {
    TestDevice device({.fixed = true}, 2);
    NetworkRunner runner(device, graph, DType::kFloat32);
    const auto plan = runner.MakePlan({.batch = 6});
    for (int run = 0; run < 3; ++run) {
      const LossSums sums = NetworkRunner::Run(*plan, inputs, {.seed = 1, .epoch = 4});
      if (first.empty()) {
        first = Gradients(runner.variables);
        loss = sums.loss;
      }
      EXPECT_EQ(sums.loss, loss);
      ExpectSameBits(Gradients(runner.variables), first);
    }
  }
}

TEST(Plan, DropoutFollowsSeedEpochAndSampleIds) {
  Graph graph;
  const Var x = graph.Input("x", {{40}, DType::kFloat32});
  SquaredLoss(graph, Dropout(Linear(x, {.out = 40}, "l"), 0.5, "d"));
  TestDevice device;
  NetworkRunner runner(device, graph, DType::kFloat32);
  const auto plan = runner.MakePlan({.batch = 2});
  const NamedTensors inputs = CastInputs(graph, 2, DType::kFloat32);
  const auto loss = [&](uint64_t seed, int64_t epoch, std::vector<int64_t> ids) {
    return NetworkRunner::Run(*plan, inputs, {.seed = seed, .epoch = epoch, .ids = ids.data()})
        .loss;
  };
  const double base = loss(1, 1, {0, 1});
  EXPECT_EQ(loss(1, 1, {0, 1}), base);
  EXPECT_NE(loss(2, 1, {0, 1}), base);
  EXPECT_NE(loss(1, 2, {0, 1}), base);
  EXPECT_NE(loss(1, 1, {0, 7}), base);
}

// Without batch normalisation samples do not see each other: parts of a batch add up to it.
TEST(Plan, TailBatchesAddUpToTheWholeBatch) {
  Graph graph;
  Var x = Relu(Conv2d(graph.Input("x", {{3, 7, 6}, DType::kFloat32}), Conv3x3(8, true), "c"));
  x = Dropout(MaxPool2d(x, {.cover_all = true}), 0.4, "d");
  LabelLoss(graph, Linear(x, {.out = 5}, "fc"));
  TestDevice device;
  NetworkRunner runner(device, graph, DType::kFloat64);
  const NamedTensors inputs = CastInputs(graph, 7, DType::kFloat64);
  const int64_t ids[] = {3, 14, 15, 92, 6, 5, 35};
  const auto whole = runner.MakePlan({.batch = 7});
  const auto large = runner.MakePlan({.batch = 4});
  const auto tail = runner.MakePlan({.batch = 3});

  const LossSums wanted = NetworkRunner::Run(*whole, inputs, {.ids = ids});
  const NamedTensors sum = Gradients(runner.variables);
  const LossSums a = NetworkRunner::Run(*large, Rows(inputs, 0, 4), {.ids = ids});
  const NamedTensors first = Gradients(runner.variables);
  const LossSums b = NetworkRunner::Run(*tail, Rows(inputs, 4, 7), {.ids = ids + 4});
  const NamedTensors second = Gradients(runner.variables);
  EXPECT_NEAR(a.loss + b.loss, wanted.loss, 1e-12 * wanted.loss);
  EXPECT_EQ(a.count + b.count, wanted.count);
  EXPECT_EQ(a.metric + b.metric, wanted.metric);
  for (const auto& [name, total] : sum) {
    Tensor added = first.at(name).Clone();
    for (size_t i = 0; i < static_cast<size_t>(added.size()); ++i) {
      added.values<double>()[i] += second.at(name).values<double>()[i];
    }
    ExpectClose(added, total, 1e-12, name);
  }
}

// Of 8 channels in 2 pictures of 3 x 13 x 10 numbers.
TEST(Plan, BytesOfALineAreThoseThatItTouches) {
  Graph graph;
  Var x = Conv2d(graph.Input("x", {{3, 13, 10}, DType::kFloat32}), Conv3x3(8), "c");
  LabelLoss(graph, Linear(BatchNorm(x, {}, "bn"), {.out = 5}, "fc"));
  TestDevice device;
  NetworkRunner runner(device, graph, DType::kFloat32);
  const auto plan = runner.MakePlan({.batch = 2});
  std::map<std::string, int64_t> bytes;
  for (size_t i = 0; i < plan->lines(); ++i) bytes[plan->line(i).kind()] = plan->LineBytes(i);
  constexpr int64_t kPicture = 2 * 8 * 13 * 10 * 4, kStatistic = 8 * 8, kVariable = 8 * 4;
  EXPECT_EQ(bytes.at("batch norm moments"), kPicture + 2 * kStatistic);
  EXPECT_EQ(bytes.at("batch norm join"), 4 * kStatistic + 2 * kVariable);
  EXPECT_EQ(bytes.at("batch norm gradient join"), 4 * kStatistic + 8 + 2 * kVariable);
}

TEST(Plan, PlansThatShareAnArenaDoNotDisturbEachOther) {
  Graph graph;
  AddZoo(graph);
  const NamedTensors inputs = CastInputs(graph, 5, DType::kFloat32);
  const NamedTensors tail_inputs = Rows(inputs, 0, 2);
  const auto compute = [&](bool shared) {
    TestDevice device, other, third;
    NetworkRunner runner(device, graph, DType::kFloat32);
    const auto make = [&](TestDevice& on, const PlanOptions& options) {
      return std::make_unique<Plan>(graph, runner.variables, *device.backend,
                                    shared ? device.arena : on.arena, device.chooser, options);
    };
    // The largest comes last, so that the arena moves under the others.
    const auto evaluate = make(other, {.mode = Mode::kEvaluate, .batch = 2});
    const auto tail = make(third, {.batch = 2});
    const auto train = make(device, {.batch = 5});
    NamedTensors results;
    for (int round = 0; round < 2; ++round) {
      const std::string at = std::to_string(round);
      NetworkRunner::Run(*train, inputs);
      for (auto& [name, g] : Gradients(runner.variables)) results[at + name] = g;
      NetworkRunner::Run(*evaluate, tail_inputs);
      results[at + "evaluated"] = evaluate->Output();
      NetworkRunner::Run(*tail, tail_inputs);
      for (auto& [name, g] : Gradients(runner.variables)) results[at + "tail" + name] = g;
    }
    return results;
  };
  ExpectSameBits(compute(true), compute(false));
}

TEST(Plan, EvaluationFoldsNewWeightsAndStatistics) {
  Graph graph;
  AddMiniVgg(graph);
  TestDevice device;
  NetworkRunner runner(device, graph, DType::kFloat64);
  const NamedTensors inputs = CastInputs(graph, 4, DType::kFloat64);
  const auto fused = runner.MakePlan({.mode = Mode::kEvaluate, .batch = 4});
  const auto plain = runner.MakePlan({.mode = Mode::kEvaluate, .batch = 4, .fuse = false});
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    RandomParameters(runner.variables, seed);
    for (const auto& entry : runner.variables.entries()) {
      if (!entry.name.ends_with("avg_var")) continue;
      Tensor variance = RandomNormal(entry.type.shape, seed);
      for (double& v : variance.values<double>()) v = v * v + 0.1;
      runner.variables.Set(entry.name, variance);
    }
    NetworkRunner::Run(*fused, inputs);
    const Tensor found = fused->Output();
    NetworkRunner::Run(*plain, inputs);
    ExpectClose(found, plain->Output(), 1e-12, "seed " + std::to_string(seed));
  }
  EXPECT_LT(fused->lines(), plain->lines());
}

TEST(Plan, PredictsWithoutLabels) {
  Graph graph;
  AddMiniVgg(graph);
  TestDevice device;
  NetworkRunner runner(device, graph, DType::kFloat32);
  const NamedTensors inputs = CastInputs(graph, 3, DType::kFloat32);
  const Tensor y = runner.Predict(inputs.at("x"));
  EXPECT_EQ(y.shape(), Shape({3, 7}));
  const auto evaluate = runner.MakePlan({.mode = Mode::kEvaluate, .batch = 3});
  NetworkRunner::Run(*evaluate, inputs);
  EXPECT_TRUE(SameBits(evaluate->Output(), y));
}

TEST(Plan, OneSampleOfABatchIsPredictedAsAlone) {
  Graph graph;
  AddZoo(graph);
  TestDevice device;
  NetworkRunner runner(device, graph, DType::kFloat64);
  const NamedTensors inputs = CastInputs(graph, 4, DType::kFloat64);
  const Tensor all = runner.Predict(inputs.at("x"));
  for (int64_t row = 0; row < 4; ++row) {
    ExpectClose(runner.Predict(Rows(inputs, row, row + 1).at("x")),
                Rows({{"y", all}}, row, row + 1).at("y"), 1e-12, std::to_string(row));
  }
}

TEST(Plan, SaysWhichInputIsMissingOrUnknown) {
  Graph graph;
  AddMiniVgg(graph);
  TestDevice device;
  NetworkRunner runner(device, graph, DType::kFloat32);
  const auto plan = runner.MakePlan({.batch = 2});
  EXPECT_THROW(plan->SetInput("y", nullptr), ConfigError);
  EXPECT_THROW(plan->SetInput("fc1/W", nullptr), ConfigError);
  const Tensor x(DType::kFloat32, {2, 3, 13, 10});
  plan->SetInput("x", x.data());
  try {
    plan->Run({});
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(), "input t was not set before the plan ran");
  }
  EXPECT_THROW(plan->Output(), ConfigError);
  EXPECT_THROW(plan->InputGradient("x"), ConfigError);
}

TEST(Plan, PrintsALineForEachInstruction) {
  Graph graph;
  AddMiniVgg(graph);
  TestDevice device;
  NetworkRunner runner(device, graph, DType::kFloat32);
  const auto plan = runner.MakePlan({.batch = 2});
  const std::string text = plan->ToString();
  EXPECT_EQ(static_cast<size_t>(std::count(text.begin(), text.end(), '\n')), plan->lines());
  for (const char* part : {"conv backward weights", "batch norm forward", "b1/conv", "GFLOP"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part;
  }
  EXPECT_GT(plan->flops(), 0.0);
}

TEST(Plan, TimesEachLine) {
  Graph graph;
  AddMiniVgg(graph);
  TestDevice device;
  NetworkRunner runner(device, graph, DType::kFloat32);
  const auto plan = runner.MakePlan({.batch = 2});
  const NamedTensors inputs = CastInputs(graph, 2, DType::kFloat32);
  const double loss = NetworkRunner::Run(*plan, inputs).loss;
  std::vector<double> seconds;
  EXPECT_EQ(plan->RunTimed({}, &seconds).loss, loss);
  EXPECT_EQ(seconds.size(), plan->lines());
  for (const double s : seconds) EXPECT_GE(s, 0.0);
}

TEST(Plan, RefusesResultsThatAnotherPlanMayHaveOverwritten) {
  Graph graph;
  const Var x = graph.Input("x", {{30}, DType::kFloat32});
  SquaredLoss(graph, Tanh(Linear(x, {.out = 20}, "l")));
  TestDevice device;
  NetworkRunner runner(device, graph, DType::kFloat32);
  const NamedTensors inputs = CastInputs(graph, 2, DType::kFloat32);
  const auto small = runner.MakePlan({.mode = Mode::kPredict, .batch = 2});
  EXPECT_THROW(small->Output(), ConfigError);  // has not run
  NetworkRunner::Run(*small, inputs);
  const Tensor first = small->Output();
  const auto train = runner.MakePlan({.batch = 2, .input_gradients = true});
  NetworkRunner::Run(*train, inputs);
  EXPECT_THROW(small->Output(), ConfigError);
  const Tensor gradient = train->InputGradient("x");
  NetworkRunner::Run(*small, inputs);
  EXPECT_TRUE(SameBits(small->Output(), first));
  EXPECT_THROW(train->InputGradient("x"), ConfigError);
  // A larger plan moves the arena when it is made.
  const auto large = runner.MakePlan({.mode = Mode::kPredict, .batch = 200000});
  EXPECT_THROW(small->Output(), ConfigError);
}

// Statistics of a head that only predicts must not move while another head is trained.
TEST(Plan, TrainingLeavesAnOutputBesideTheLossAlone) {
  Graph graph;
  const Var logits = Linear(graph.Input("x", {{6}, DType::kFloat32}), {.out = 4}, "l");
  LabelLoss(graph, logits);
  graph.SetOutput(Softmax(BatchNorm(logits, {}, "head")));
  TestDevice device;
  NetworkRunner runner(device, graph, DType::kFloat32);
  const NamedTensors inputs = CastInputs(graph, 3, DType::kFloat32);
  const Tensor before = runner.variables.Get("head/avg_mean");
  const auto train = runner.MakePlan({.batch = 3});
  NetworkRunner::Run(*train, inputs);
  EXPECT_EQ(train->ToString().find("softmax forward"), std::string::npos);
  EXPECT_TRUE(SameBits(runner.variables.Get("head/avg_mean"), before));
  const auto evaluate = runner.MakePlan({.mode = Mode::kEvaluate, .batch = 3});
  NetworkRunner::Run(*evaluate, inputs);
  const Tensor evaluated = evaluate->Output();
  EXPECT_TRUE(SameBits(evaluated, runner.Predict(inputs.at("x"))));
}

TEST(Plan, OutputMayBeTheInputItself) {
  Graph graph;
  const Var x = graph.Input("x", {{3}, DType::kFloat32});
  SquaredLoss(graph, x);
  TestDevice device;
  NetworkRunner runner(device, graph, DType::kFloat32);
  const Tensor values = RandomNormal({2, 3}, 1).Cast(DType::kFloat32);
  EXPECT_TRUE(SameBits(runner.Predict(values), values));
}

// What is said to be ready does not change until the run ends, and all of it is in the end.
void ExpectReadyGradientsAreFinal(const Graph& graph, const std::set<std::string>& frozen) {
  TestDevice device;
  NetworkRunner runner(device, graph, DType::kFloat32, frozen);
  const NamedTensors inputs = CastInputs(graph, 3, DType::kFloat32);
  const auto plan = runner.MakePlan({.batch = 3});
  for (const auto& [name, tensor] : inputs) plan->SetInput(name, tensor.data());
  const float* const gradients = static_cast<const float*>(runner.variables.gradients());
  std::vector<std::vector<float>> ready;
  plan->Run({}, {.gradients_ready = [&](int64_t end) {
              ready.emplace_back(gradients, gradients + end);
            }});
  ASSERT_GT(ready.size(), 4U);
  for (size_t i = 0; i < ready.size(); ++i) {
    EXPECT_GT(ready[i].size(), i > 0 ? ready[i - 1].size() : 0);
    EXPECT_TRUE(std::equal(ready[i].begin(), ready[i].end(), gradients)) << i;
  }
  EXPECT_EQ(static_cast<int64_t>(ready.back().size()), runner.variables.flat_size());
}

TEST(Plan, GradientsAreReadyLayerByLayer) {
  Graph vgg, zoo;
  AddMiniVgg(vgg);
  AddZoo(zoo);
  ExpectReadyGradientsAreFinal(vgg, {});
  ExpectReadyGradientsAreFinal(vgg, {"fc2/W", "b3/bn/gamma", "b1/conv/W"});
  ExpectReadyGradientsAreFinal(zoo, {});
}

// A parameter that is used twice is ready behind its last use.
TEST(Plan, GradientsOfSharedParametersAreReadyLast) {
  Graph graph;
  Var x = graph.Input("x", {{6}, DType::kFloat32});
  for (const char* name : {"l1", "shared", "l2", "shared", "l3", "l4"}) {
    x = Tanh(Linear(x, {.out = 6}, name));
  }
  LabelLoss(graph, x);
  ExpectReadyGradientsAreFinal(graph, {});
}

}  // namespace
}  // namespace lockstep
