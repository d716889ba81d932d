// Which lines fusion removes, and which it must leave.
#include "engine/plan/fusion.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>

#include "engine/graph/layers.h"
#include "tests/engine/compare.h"
#include "tests/engine/forced_backend.h"
#include "tests/engine/gradient_check.h"
#include "tests/engine/network_runner.h"
#include "tests/engine/test_networks.h"

namespace lockstep {
namespace {

class Fusion : public testing::Test {
 protected:
  Graph graph_;
  Var x_ = graph_.Input("x", {{8, 6, 6}, DType::kFloat32});

  // Lines of each kind, with reorders left out.
  std::map<std::string, int> Lines(Mode mode) { return LinesOf(graph_, mode); }
  static std::map<std::string, int> LinesOf(const Graph& graph, Mode mode) {
    TestDevice device;
    NetworkRunner runner(device, graph, DType::kFloat32);
    const auto plan = runner.MakePlan({.mode = mode, .batch = 2});
    std::map<std::string, int> lines;
    for (size_t i = 0; i < plan->lines(); ++i) ++lines[plan->line(i).kind()];
    return lines;
  }
};

TEST_F(Fusion, NormTakesReluAndDropoutInTraining) {
  x_ = Conv2d(x_, Conv3x3(8), "conv");
  SquaredLoss(graph_, Dropout(Relu(BatchNorm(x_, {}, "bn")), 0.5, "d"));
  const auto lines = Lines(Mode::kTrain);
  EXPECT_EQ(lines.at("batch norm forward"), 1);
  EXPECT_EQ(lines.at("batch norm backward"), 1);
  for (const char* gone :
       {"activation forward", "activation backward", "dropout forward", "dropout backward"}) {
    EXPECT_FALSE(lines.contains(gone)) << gone;
  }
}

TEST_F(Fusion, ConvolutionTakesNormAndReluInEvaluation) {
  x_ = Conv2d(x_, Conv3x3(8), "conv");
  SquaredLoss(graph_, Dropout(Relu(BatchNorm(x_, {}, "bn")), 0.5, "d"));
  for (const Mode mode : {Mode::kEvaluate, Mode::kPredict}) {
    const auto lines = Lines(mode);
    EXPECT_EQ(lines.at("conv forward"), 1);
    EXPECT_FALSE(lines.contains("batch norm inference"));
    EXPECT_FALSE(lines.contains("activation forward"));
  }
}

TEST_F(Fusion, ConvolutionReadTwiceKeepsItsNorm) {
  const Var conv = Conv2d(x_, Conv3x3(8), "conv");
  SquaredLoss(graph_, Add(conv, BatchNorm(conv, {}, "bn")));
  EXPECT_EQ(Lines(Mode::kEvaluate).at("batch norm inference"), 1);
}

TEST_F(Fusion, NormThatIsTheOutputIsNotRemoved) {
  const Var norm = BatchNorm(Conv2d(x_, Conv3x3(8), "conv"), {}, "bn");
  SquaredLoss(graph_, Relu(norm));
  graph_.SetOutput(norm);
  EXPECT_EQ(Lines(Mode::kEvaluate).at("activation forward"), 1);
}

TEST_F(Fusion, NormReadBesidesItsReluKeepsBoth) {
  const Var norm = BatchNorm(x_, {}, "bn");
  SquaredLoss(graph_, Add(norm, Relu(norm)));
  EXPECT_EQ(Lines(Mode::kTrain).at("activation backward"), 1);
  EXPECT_EQ(Lines(Mode::kEvaluate).at("activation forward"), 1);
}

TEST_F(Fusion, ReluReadBesidesItsDropoutKeepsTheDropout) {
  const Var relu = Relu(BatchNorm(x_, {}, "bn"));
  SquaredLoss(graph_, Add(relu, Dropout(relu, 0.5, "d")));
  const auto lines = Lines(Mode::kTrain);
  EXPECT_FALSE(lines.contains("activation backward"));
  EXPECT_EQ(lines.at("dropout forward"), 1);
  EXPECT_EQ(lines.at("dropout backward"), 1);
}

TEST_F(Fusion, LinearTakesReluButNotOtherActivations) {
  Var y = Relu(Linear(x_, {.out = 5}, "l1"));
  SquaredLoss(graph_, Tanh(Linear(y, {.out = 5}, "l2")));
  EXPECT_EQ(Lines(Mode::kTrain).at("activation forward"), 1);
  EXPECT_EQ(Lines(Mode::kTrain).at("activation backward"), 2);
}

// What the line that sums up a bias' gradient reads and writes, and that gradient.
struct BiasSum {
  int64_t bytes = 0;
  Tensor gradient;
};

BiasSum SumOfBias(const Graph& graph, bool fuse) {
  TestDevice device;
  NetworkRunner runner(device, graph, DType::kFloat64);
  const auto plan = runner.MakePlan({.batch = 3, .fuse = fuse});
  NetworkRunner::Run(*plan, RandomInputs(graph, 3, 1));
  BiasSum sum;
  for (size_t i = 0; i < plan->lines(); ++i) {
    if (plan->line(i).kind() == "bias backward") sum.bytes += plan->LineBytes(i);
  }
  sum.gradient = runner.variables.GetGradient("conv/b");
  return sum;
}

void ExpectSameSums(const BiasSum& a, const BiasSum& b) {
  for (size_t i = 0; i < a.gradient.values<double>().size(); ++i) {
    const double wanted = b.gradient.values<double>()[i];
    EXPECT_NEAR(a.gradient.values<double>()[i], wanted, 1e-12 * (1.0 + std::abs(wanted)));
  }
}

TEST_F(Fusion, BiasIsSummedBehindMaxPoolings) {
  x_ = MaxPool2d(Conv2d(x_, Conv3x3(8, true), "conv"), {.kernel_h = 3, .kernel_w = 2});
  SquaredLoss(graph_, MaxPool2d(x_, {.cover_all = true}));
  const BiasSum fused = SumOfBias(graph_, true), plain = SumOfBias(graph_, false);
  EXPECT_LT(fused.bytes, plain.bytes / 6);  // 1 x 2 of 6 x 6
  ExpectSameSums(fused, plain);
}

// Of pictures of 6x6 the last windows lie in padding.
constexpr Pool2dOptions kBeyond{.kernel_h = 3,
                                .kernel_w = 3,
                                .stride_h = 3,
                                .stride_w = 3,
                                .pad_h = 2,
                                .pad_w = 2,
                                .cover_all = true};

// A window that lies in padding gives its gradient to nobody, an average a part of it.
TEST(FusionOfPooling, LeavesABiasInFrontWhereGradientsAreLost) {
  for (const bool average : {false, true}) {
    Graph graph;
    const Var x = graph.Input("x", {{8, 6, 6}, DType::kFloat32});
    const Var conv = Conv2d(x, Conv3x3(8, true), "conv");
    SquaredLoss(graph, average ? AveragePool2d(conv, kBeyond) : MaxPool2d(conv, kBeyond));
    const BiasSum fused = SumOfBias(graph, true), plain = SumOfBias(graph, false);
    EXPECT_EQ(fused.bytes, plain.bytes);
    ExpectSameSums(fused, plain);
  }
}

// The sum of two gradients, of which the pooling makes one.
TEST_F(Fusion, BiasThatIsReadTwiceIsSummedInFront) {
  const Var conv = Conv2d(x_, Conv3x3(8, true), "conv");
  const Var pooled = MaxPool2d(
      conv, {.kernel_h = 3, .kernel_w = 3, .stride_h = 1, .stride_w = 1, .pad_h = 1, .pad_w = 1});
  SquaredLoss(graph_, Add(conv, pooled));
  const BiasSum fused = SumOfBias(graph_, true), plain = SumOfBias(graph_, false);
  EXPECT_EQ(fused.bytes, plain.bytes);
  ExpectSameSums(fused, plain);
}

struct Results {
  double loss;
  NamedTensors arrays;
};

void ExpectCloseResults(const Results& found, const Results& wanted, double tolerance) {
  EXPECT_NEAR(found.loss, wanted.loss, 1e-6 * wanted.loss);
  for (const auto& [name, array] : wanted.arrays) {
    ExpectClose(found.arrays.at(name), array, tolerance, name);
  }
}

// What a training step computes of these samples, each gradient among it, and predictions.
Results ResultsOf(const Graph& graph, const NamedTensors& inputs, DType dtype, bool fuse) {
  TestDevice device;
  NetworkRunner runner(device, graph, dtype);
  const auto plan = runner.MakePlan({.batch = inputs.at("x").shape()[0], .fuse = fuse});
  NamedTensors cast = inputs;
  cast.at("x") = inputs.at("x").Cast(dtype);
  Results results{NetworkRunner::Run(*plan, cast).loss, {}};
  for (const Variables::Entry& entry : runner.variables.entries()) {
    if (entry.trained) results.arrays[entry.name] = runner.variables.GetGradient(entry.name);
  }
  results.arrays["y"] = runner.Predict(inputs.at("x"), fuse);
  return results;
}

// A ReLU between a convolution and max pooling comes behind the pooling.
class FusionOfReluAndPool : public Fusion {
 protected:
  static int64_t BytesOf(const Graph& graph, const std::string& kind) {
    TestDevice device;
    NetworkRunner runner(device, graph, DType::kFloat32);
    const auto plan = runner.MakePlan({.batch = 2});
    int64_t bytes = 0;
    for (size_t i = 0; i < plan->lines(); ++i) {
      if (plan->line(i).kind() == kind) bytes += plan->LineBytes(i);
    }
    return bytes;
  }
};

TEST_F(FusionOfReluAndPool, TheReluSeesWhatIsLeft) {
  SquaredLoss(graph_, MaxPool2d(Relu(Conv2d(x_, Conv3x3(8), "conv")), {}));
  // 8 channels of 3x3 pixels, of 2 samples: one read and one written, forward; one more backward.
  EXPECT_EQ(BytesOf(graph_, "activation forward"), 2 * 2 * 8 * 9 * 4);
  EXPECT_EQ(BytesOf(graph_, "activation backward"), 3 * 2 * 8 * 9 * 4);
  // Without a gradient the convolution takes it.
  for (const Mode mode : {Mode::kEvaluate, Mode::kPredict}) {
    EXPECT_FALSE(Lines(mode).contains("activation forward"));
  }
}

TEST_F(FusionOfReluAndPool, LetsAConvolutionAndItsPoolingBecomeOne) {
  x_ = Conv2d(x_, {.out_channels = 5, .kernel_h = 1, .kernel_w = 3}, "conv");
  SquaredLoss(graph_, MaxPool2d(Relu(x_), {}));
  for (const Mode mode : {Mode::kTrain, Mode::kEvaluate, Mode::kPredict}) {
    EXPECT_EQ(Lines(mode).at("pooled conv forward"), 1);
    EXPECT_EQ(Lines(mode).at("activation forward"), 1);
  }
  EXPECT_EQ(Lines(Mode::kTrain).at("pooled conv backward"), 1);
}

TEST_F(FusionOfReluAndPool, KeepsTheResults) {
  const Pool2dOptions poolings[] = {
      {},
      {.kernel_h = 3, .kernel_w = 3, .cover_all = true},
      {.kernel_h = 3, .kernel_w = 2, .stride_h = 1, .stride_w = 2, .pad_h = 1, .pad_w = 1},
  };
  for (const Pool2dOptions& options : poolings) {
    for (const DType dtype : {DType::kFloat32, DType::kFloat64}) {
      Graph graph;
      Var x = graph.Input("x", {{8, 6, 6}, DType::kFloat32});
      x = MaxPool2d(Relu(Conv2d(x, Conv3x3(8, true), "first")), options);
      x = MaxPool2d(Relu(Conv2d(x, Conv3x3(6, true), "second")), options);
      LabelLoss(graph, Linear(x, {.out = 3}, "l"));
      const NamedTensors inputs = RandomInputs(graph, 7, 1);
      ExpectCloseResults(ResultsOf(graph, inputs, dtype, true),
                         ResultsOf(graph, inputs, dtype, false),
                         dtype == DType::kFloat64 ? 1e-12 : 1e-5);
    }
  }
}

TEST_F(FusionOfReluAndPool, StayWhereOthersReadTheRelu) {
  const Var relu = Relu(Conv2d(x_, Conv3x3(8), "conv"));
  const Var both[] = {Flatten(MaxPool2d(relu, {})), Flatten(relu)};
  SquaredLoss(graph_, Linear(Concat(both), {.out = 2}, "l"));
  EXPECT_EQ(BytesOf(graph_, "activation backward"), 3 * 2 * 8 * 36 * 4);
}

TEST_F(FusionOfReluAndPool, StayWhereAWindowHoldsNoPixelOrIsAveraged) {
  for (const bool average : {false, true}) {
    Graph graph;
    const Var x = graph.Input("x", {{8, 6, 6}, DType::kFloat32});
    const Var relu = Relu(Conv2d(x, Conv3x3(8, true), "conv"));
    SquaredLoss(graph, average ? AveragePool2d(relu, {}) : MaxPool2d(relu, kBeyond));
    EXPECT_EQ(BytesOf(graph, "activation backward"), 3 * 2 * 8 * 36 * 4);
    EXPECT_FALSE(LinesOf(graph, Mode::kTrain).contains("activation forward"));
  }
}

TEST_F(FusionOfReluAndPool, OtherActivationsStay) {
  SquaredLoss(graph_, MaxPool2d(Tanh(Conv2d(x_, Conv3x3(8), "conv")), {}));
  EXPECT_EQ(BytesOf(graph_, "activation backward"), 3 * 2 * 8 * 36 * 4);
}

// A convolution of few taps over the input, with max pooling behind it.
class FusionOfConvAndPool : public Fusion {
 protected:
  Var Conv(Var x, const std::string& name = "conv") {
    return Conv2d(x, {.out_channels = 5, .kernel_h = 1, .kernel_w = 3}, name);
  }
  void ExpectApart() {
    EXPECT_TRUE(Lines(Mode::kTrain).contains("conv backward weights"));
    EXPECT_FALSE(Lines(Mode::kTrain).contains("pooled conv forward"));
  }
};

TEST_F(FusionOfConvAndPool, BecomeOne) {
  SquaredLoss(graph_, MaxPool2d(Conv(x_), {.cover_all = true}));
  const auto lines = Lines(Mode::kTrain);
  EXPECT_EQ(lines.at("pooled conv forward"), 1);
  EXPECT_EQ(lines.at("pooled conv backward"), 1);
  for (const char* gone :
       {"conv forward", "conv backward weights", "pool forward", "pool backward"}) {
    EXPECT_FALSE(lines.contains(gone)) << gone;
  }
  for (const Mode mode : {Mode::kEvaluate, Mode::kPredict}) {
    EXPECT_EQ(Lines(mode).at("pooled conv forward"), 1);
    EXPECT_FALSE(Lines(mode).contains("pool forward"));
  }
}

TEST_F(FusionOfConvAndPool, HaveTheResultsOfTwo) {
  Var x = MaxPool2d(Conv2d(x_, {.out_channels = 16, .kernel_h = 1, .kernel_w = 3}, "conv"), {});
  x = MaxPool2d(Tanh(Conv2d(x, Conv3x3(24, true), "second")), {.cover_all = true});
  LabelLoss(graph_, Linear(x, {.out = 3}, "l"));
  NamedTensors inputs = RandomInputs(graph_, 7, 1);
  inputs.at("x") = inputs.at("x").Cast(DType::kFloat32);
  const auto run = [&](int policy, bool fuse) {
    TestDevice device(std::make_unique<ForcedBackend>(2, policy, ""), {.fixed = true});
    NetworkRunner runner(device, graph_, DType::kFloat32);
    const auto plan = runner.MakePlan({.batch = 7, .fuse = fuse});
    int pooled = 0;
    for (size_t i = 0; i < plan->lines(); ++i) {
      pooled += plan->line(i).kind().starts_with("pooled conv") ? 1 : 0;
    }
    EXPECT_EQ(pooled, fuse ? 2 : 0);
    Results results{NetworkRunner::Run(*plan, inputs).loss, {}};
    for (const char* name : {"conv/W", "conv/b", "second/W", "l/W"}) {
      results.arrays[name] = runner.variables.GetGradient(name);
    }
    results.arrays["y"] = runner.Predict(inputs.at("x"), fuse);
    return results;
  };
  // Plain pictures, blocks and channels last.
  for (const int policy : {0, 1, 2}) {
    ExpectCloseResults(run(policy, true), run(policy, false), 1e-5);
  }
}

TEST_F(FusionOfConvAndPool, StayApartWhereOthersReadTheConvolution) {
  const Var conv = Conv(x_);
  const Var both[] = {Flatten(MaxPool2d(conv, {})), Flatten(conv)};
  SquaredLoss(graph_, Linear(Concat(both), {.out = 2}, "l"));
  ExpectApart();
  EXPECT_EQ(Lines(Mode::kEvaluate).at("conv forward"), 1);
}

TEST_F(FusionOfConvAndPool, StayApartBehindLayersThatLearn) {
  SquaredLoss(graph_, MaxPool2d(Conv(Conv(x_, "first")), {}));
  ExpectApart();
  EXPECT_EQ(Lines(Mode::kEvaluate).at("pooled conv forward"), 1);
}

TEST_F(FusionOfConvAndPool, StayApartUnderOtherPoolings) {
  const Pool2dOptions others[] = {
      {.stride_h = 1}, {.kernel_h = 3}, {.kernel_w = 1}, {.pad_h = 1}, {.pad_w = 1}};
  for (const Pool2dOptions& options : others) {
    Graph graph;
    SquaredLoss(graph, MaxPool2d(Conv(graph.Input("x", {{8, 6, 6}, DType::kFloat32})), options));
    EXPECT_FALSE(LinesOf(graph, Mode::kTrain).contains("pooled conv forward"));
  }
}

TEST_F(FusionOfConvAndPool, StayApartUnderAverages) {
  SquaredLoss(graph_, AveragePool2d(Conv(x_), {}));
  ExpectApart();
}

TEST_F(FusionOfConvAndPool, StayApartWhereTheInputsGradientIsWanted) {
  SquaredLoss(graph_, MaxPool2d(Conv(x_), {}));
  TestDevice device;
  NetworkRunner runner(device, graph_, DType::kFloat32);
  const auto plan = runner.MakePlan({.batch = 2, .input_gradients = true});
  for (size_t i = 0; i < plan->lines(); ++i) EXPECT_NE(plan->line(i).kind(), "pooled conv forward");
}

// Without a gradient of the weights no argmax is needed, whatever becomes of the bias.
TEST_F(FusionOfConvAndPool, BecomeOneWithoutAGradient) {
  SquaredLoss(graph_, Linear(MaxPool2d(Conv(x_), {}), {.out = 2}, "l"));
  const std::set<std::string> both{"conv/W", "conv/b"};
  for (const std::set<std::string>& frozen : {both, {"conv/W"}, {"conv/b"}}) {
    TestDevice device;
    NetworkRunner runner(device, graph_, DType::kFloat32, frozen);
    const auto plan = runner.MakePlan({.batch = 2});
    std::set<std::string> kinds;
    for (size_t i = 0; i < plan->lines(); ++i) {
      kinds.insert(plan->line(i).kind());
      if (plan->line(i).kind() == "pooled conv forward") {
        EXPECT_EQ(plan->line(i).outputs.size(), frozen.contains("conv/W") ? 1 : 2);
      }
    }
    EXPECT_TRUE(kinds.contains("pooled conv forward"));
    EXPECT_FALSE(kinds.contains("pool backward"));
    EXPECT_EQ(kinds.contains("pooled conv backward"), !frozen.contains("conv/W"));
  }
}

// Batch norm, ReLU and max pooling by 2x2.
class FusionOfNormAndPool : public Fusion {
 protected:
  void ExpectApart(const Graph& graph) {
    const auto lines = LinesOf(graph, Mode::kTrain);
    EXPECT_EQ(lines.at("pool forward"), 1);
    EXPECT_EQ(lines.at("pool backward"), 1);
  }
};

TEST_F(FusionOfNormAndPool, BecomeOneInTraining) {
  x_ = Conv2d(x_, Conv3x3(8), "conv");
  SquaredLoss(graph_, MaxPool2d(Relu(BatchNorm(x_, {}, "bn")), {}));
  const auto lines = Lines(Mode::kTrain);
  EXPECT_EQ(lines.at("batch norm forward"), 1);
  EXPECT_EQ(lines.at("batch norm backward"), 1);
  for (const char* gone :
       {"activation forward", "activation backward", "pool forward", "pool backward"}) {
    EXPECT_FALSE(lines.contains(gone)) << gone;
  }
  EXPECT_EQ(Lines(Mode::kEvaluate).at("pool forward"), 1);
}

// Also where a batch norm is the first layer, whose input needs no gradient.
TEST_F(FusionOfNormAndPool, HaveTheResultsOfThree) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat64}) {
    for (const bool first : {false, true}) {
      Graph graph;
      Var x = graph.Input("x", {{8, 12, 8}, DType::kFloat32});
      if (!first) x = Conv2d(x, Conv3x3(16), "conv1");
      x = MaxPool2d(Relu(BatchNorm(x, {}, "bn1")), {.cover_all = true});
      x = Conv2d(x, Conv3x3(24), "conv2");
      x = Dropout(MaxPool2d(Relu(BatchNorm(x, {}, "bn2")), {}), 0.3, "drop");
      LabelLoss(graph, Linear(x, {.out = 3}, "l"));
      const NamedTensors inputs = RandomInputs(graph, 7, 1);
      ExpectCloseResults(ResultsOf(graph, inputs, dtype, true),
                         ResultsOf(graph, inputs, dtype, false),
                         dtype == DType::kFloat64 ? 1e-11 : 2e-5);
    }
  }
}

// Plain pictures, blocks and channels last.
TEST_F(FusionOfNormAndPool, HaveTheResultsOfThreeInEveryLayout) {
  Var x = Conv2d(x_, Conv3x3(16), "conv1");
  x = MaxPool2d(Relu(BatchNorm(x, {}, "bn1")), {});
  LabelLoss(graph_, Linear(Conv2d(x, Conv3x3(24), "conv2"), {.out = 3}, "l"));
  NamedTensors inputs = RandomInputs(graph_, 7, 1);
  inputs.at("x") = inputs.at("x").Cast(DType::kFloat32);
  const auto run = [&](int policy, bool fuse) {
    TestDevice device(std::make_unique<ForcedBackend>(2, policy, ""), {.fixed = true});
    NetworkRunner runner(device, graph_, DType::kFloat32);
    const auto plan = runner.MakePlan({.batch = 7, .fuse = fuse});
    Results results{NetworkRunner::Run(*plan, inputs).loss, {}};
    for (const char* name : {"conv1/W", "bn1/gamma", "bn1/beta", "conv2/W", "l/W"}) {
      results.arrays[name] = runner.variables.GetGradient(name);
    }
    return results;
  };
  for (const int policy : {0, 1, 2}) {
    ExpectCloseResults(run(policy, true), run(policy, false), 2e-5);
  }
}

TEST_F(FusionOfNormAndPool, LeaveOutTheGradientsThatNobodyWants) {
  x_ = Conv2d(x_, Conv3x3(8), "conv");
  x_ = MaxPool2d(Relu(BatchNorm(x_, {}, "bn")), {});
  LabelLoss(graph_, Linear(x_, {.out = 3}, "l"));
  const NamedTensors inputs = RandomInputs(graph_, 5, 1);
  const std::vector<std::set<std::string>> all_frozen{
      {"bn/gamma"}, {"bn/beta"}, {"bn/gamma", "bn/beta"}, {"conv/W"}};
  for (const auto& frozen : all_frozen) {
    std::map<std::string, Tensor> gradients[2];
    for (const bool fuse : {false, true}) {
      TestDevice device;
      NetworkRunner runner(device, graph_, DType::kFloat64, frozen);
      const auto plan = runner.MakePlan({.batch = 5, .fuse = fuse});
      NetworkRunner::Run(*plan, inputs);
      for (const Variables::Entry& entry : runner.variables.entries()) {
        if (entry.trained) gradients[fuse][entry.name] = runner.variables.GetGradient(entry.name);
      }
    }
    EXPECT_FALSE(gradients[0].empty());
    for (const auto& [name, gradient] : gradients[0]) {
      ExpectClose(gradients[1].at(name), gradient, 1e-11, name);
    }
  }
}

// The gradient of what is pooled is a sum then.
TEST_F(FusionOfNormAndPool, BecomeOneWhereThePoolingIsReadTwice) {
  x_ = Conv2d(x_, Conv3x3(8), "conv");
  const Var pooled = MaxPool2d(Relu(BatchNorm(x_, {}, "bn")), {});
  const Var both[] = {Flatten(Conv2d(pooled, Conv3x3(8), "next")), Flatten(pooled)};
  LabelLoss(graph_, Linear(Concat(both), {.out = 3}, "l"));
  EXPECT_FALSE(Lines(Mode::kTrain).contains("pool forward"));
  const NamedTensors inputs = RandomInputs(graph_, 5, 1);
  ExpectCloseResults(ResultsOf(graph_, inputs, DType::kFloat64, true),
                     ResultsOf(graph_, inputs, DType::kFloat64, false), 1e-11);
}

TEST_F(FusionOfNormAndPool, StayApartWhereOthersReadTheRelu) {
  const Var relu = Relu(BatchNorm(Conv2d(x_, Conv3x3(8), "conv"), {}, "bn"));
  const Var both[] = {Flatten(MaxPool2d(relu, {})), Flatten(relu)};
  SquaredLoss(graph_, Linear(Concat(both), {.out = 2}, "l"));
  ExpectApart(graph_);
}

TEST_F(FusionOfNormAndPool, StayApartUnderOtherPoolingsAndOddPictures) {
  const Pool2dOptions others[] = {
      {.stride_h = 1}, {.kernel_h = 3}, {.kernel_w = 1}, {.pad_h = 1}, {.pad_w = 1}};
  for (const Pool2dOptions& options : others) {
    Graph graph;
    const Var x = graph.Input("x", {{8, 6, 6}, DType::kFloat32});
    SquaredLoss(graph, MaxPool2d(Relu(BatchNorm(x, {}, "bn")), options));
    ExpectApart(graph);
  }
  for (const Shape& shape : {Shape({8, 7, 6}), Shape({8, 6, 5})}) {
    for (const bool cover_all : {false, true}) {
      Graph graph;
      const Var x = graph.Input("x", {shape, DType::kFloat32});
      SquaredLoss(graph, MaxPool2d(Relu(BatchNorm(x, {}, "bn")), {.cover_all = cover_all}));
      ExpectApart(graph);
    }
  }
}

TEST_F(FusionOfNormAndPool, StayApartUnderAveragesDropoutAndWithoutARelu) {
  const auto apart = [&](const auto& layers) {
    Graph graph;
    const Var x = graph.Input("x", {{8, 6, 6}, DType::kFloat32});
    SquaredLoss(graph, layers(BatchNorm(x, {}, "bn")));
    ExpectApart(graph);
  };
  apart([](Var norm) { return AveragePool2d(Relu(norm), {}); });
  apart([](Var norm) { return MaxPool2d(Dropout(Relu(norm), 0.5, "d"), {}); });
  apart([](Var norm) { return MaxPool2d(norm, {}); });
  apart([](Var norm) { return MaxPool2d(Tanh(norm), {}); });
}

TEST_F(Fusion, FusedDropoutDrawsTheSameMask) {
  SquaredLoss(graph_, Dropout(Relu(BatchNorm(x_, {}, "bn")), 0.5, "d"));
  const NamedTensors inputs = RandomInputs(graph_, 3, 1);
  double losses[2];
  for (const bool fuse : {false, true}) {
    TestDevice device;
    NetworkRunner runner(device, graph_, DType::kFloat64);
    const auto plan = runner.MakePlan({.batch = 3, .fuse = fuse});
    losses[fuse] = NetworkRunner::Run(*plan, inputs, {.seed = 9, .epoch = 2}).loss;
  }
  EXPECT_NEAR(losses[0], losses[1], 1e-10 * losses[0]);
}

}  // namespace
}  // namespace lockstep
