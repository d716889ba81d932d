// Gradients through networks: losses, sharing, several inputs, frozen parameters, own ops.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "engine/graph/custom_op.h"
#include "kernels/error.h"
#include "tests/engine/compare.h"
#include "tests/engine/gradient_check.h"

namespace lockstep {
namespace {

class GraphGradient : public testing::TestWithParam<bool> {
 protected:
  Graph graph_;
  Var Input(const Shape& sample, const std::string& name = "x") {
    return graph_.Input(name, {sample, DType::kFloat32});
  }
  void Check(int64_t batch) { ExpectGradientsAreDerivatives(graph_, batch, GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(Fusion, GraphGradient, testing::Bool(),
                         [](const auto& info) { return info.param ? "fused" : "plain"; });

TEST_P(GraphGradient, OfCrossEntropyIgnoresLabelMinusOne) {
  LabelLoss(graph_, Linear(Tanh(Linear(Input({5}), {.out = 7}, "l1")), {.out = 3}, "l2"));
  Check(6);
}

TEST_P(GraphGradient, OfCrossEntropyOverOneClass) {
  LabelLoss(graph_, Linear(Input({3}), {.out = 1}, "l"));
  Check(3);
}

TEST_P(GraphGradient, OfLossThroughSoftmaxOutput) {
  const Var logits = Linear(Input({4}), {.out = 5}, "l");
  LabelLoss(graph_, logits);
  graph_.SetOutput(Softmax(logits));
  Check(4);
}

TEST_P(GraphGradient, OfSharedParameterIsTheSumOverItsUses) {
  Var x = Input({6});
  for (int i = 0; i < 3; ++i) x = Tanh(Linear(x, {.out = 6}, "shared"));
  SquaredLoss(graph_, x);
  Check(3);
}

TEST_P(GraphGradient, OfSharedConvolutionOverTwoSizes) {
  const Var x = Input({3, 7, 5});
  const Conv2dOptions options{.out_channels = 3, .pad_h = 1, .pad_w = 1};
  const Var large = Relu(Conv2d(x, options, "shared"));
  const Var small = Conv2d(MaxPool2d(large, {.cover_all = true}), options, "shared");
  SquaredLoss(graph_, Add(GlobalAveragePool2d(small), GlobalMaxPool2d(large)));
  Check(2);
}

TEST_P(GraphGradient, OfResidualBlocks) {
  Var x = Conv2d(Input({3, 6, 5}), {.out_channels = 8, .pad_h = 1, .pad_w = 1}, "stem");
  for (const std::string name : {"a", "b"}) {
    Var y = Relu(BatchNorm(x, {}, name + "/bn1"));
    y = Conv2d(y, {.out_channels = 8, .pad_h = 1, .pad_w = 1, .bias = false}, name + "/conv1");
    y = Relu(BatchNorm(y, {}, name + "/bn2"));
    y = Conv2d(y, {.out_channels = 8, .pad_h = 1, .pad_w = 1, .bias = false}, name + "/conv2");
    x = Add(x, y);
  }
  LabelLoss(graph_, Linear(GlobalAveragePool2d(Relu(x)), {.out = 4}, "fc"));
  Check(4);
}

TEST_P(GraphGradient, OfActivationUsedByTwoLayers) {
  const Var h = Relu(BatchNorm(Conv2d(Input({3, 5, 5}), {.out_channels = 4}, "c"), {}, "bn"));
  const Var a = Conv2d(h, {.out_channels = 2}, "a");
  const Var b = Conv2d(Dropout(h, 0.5, "drop"), {.out_channels = 2}, "b");
  SquaredLoss(graph_, Add(a, b));
  Check(3);
}

TEST_P(GraphGradient, OfBlocksWithDropoutAndPooling) {
  Var x = Input({3, 7, 6});
  for (const std::string name : {"a", "b"}) {
    x = Conv2d(x, {.out_channels = 5, .pad_h = 1, .pad_w = 1, .bias = false}, name + "/conv");
    x = Dropout(Relu(BatchNorm(x, {}, name + "/bn")), 0.3, name + "/dropout");
    x = MaxPool2d(x, {.cover_all = true});
  }
  x = Relu(BatchNorm(Linear(Dropout(x, 0.5, "d"), {.out = 9, .bias = false}, "fc1"), {}, "bn"));
  LabelLoss(graph_, Linear(x, {.out = 4, .bias = false}, "fc2"));
  Check(5);
}

TEST_P(GraphGradient, OfTwoInputs) {
  const Var a = Input({5}, "a"), b = Input({2, 3, 3}, "b");
  const Var joined[] = {Tanh(Linear(a, {.out = 4}, "la")), Flatten(Sigmoid(b))};
  SquaredLoss(graph_, Linear(Concat(joined), {.out = 2}, "out"));
  Check(3);
}

TEST_P(GraphGradient, OfReluBehindLinearAndConvolution) {
  Var x = Relu(Conv2d(Input({3, 4, 5}), {.out_channels = 6}, "conv"));
  x = Relu(Linear(x, {.out = 7}, "l1"));
  SquaredLoss(graph_, Linear(x, {.out = 3}, "l2"));
  Check(4);
}

// x * sigmoid(b * x) with a trained b of one element, and the sigmoid as a second output.
class Swish : public CustomOp {
 public:
  std::string type() const override { return "Swish"; }
  std::vector<TensorType> Infer(std::span<const TensorType> in) const override {
    if (in[1].shape.size() != 1) throw ShapeError("wants one b, got " + in[1].shape.ToString());
    return {in[0], in[0]};
  }
  void Compute(const ForwardArgs& args) const override {
    if (args.inputs[0].dtype() == DType::kFloat32) return ComputeAs<float>(args);
    ComputeAs<double>(args);
  }
  void Differentiate(const BackwardArgs& args) const override {
    const auto x = args.inputs[0].values<double>(), s = args.outputs[1].values<double>();
    const double b = args.inputs[1].values<double>()[0];
    double sum = 0.0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double dy = At(args.output_gradients[0], i), ds = At(args.output_gradients[1], i);
      const double slope = (ds + dy * x[i]) * s[i] * (1 - s[i]);
      sum += slope * x[i];
      if (args.input_gradients[0].data() != nullptr) {
        args.input_gradients[0].values<double>()[i] = dy * s[i] + slope * b;
      }
    }
    if (args.input_gradients[1].data() != nullptr)
      args.input_gradients[1].values<double>()[0] = sum;
  }

 private:
  static double At(const Tensor& gradient, size_t i) {
    return gradient.data() == nullptr ? 0.0 : gradient.values<double>()[i];
  }
  template <typename T>
  static void ComputeAs(const ForwardArgs& args) {
    const auto x = args.inputs[0].values<T>(), b = args.inputs[1].values<T>();
    for (size_t i = 0; i < x.size(); ++i) {
      const T s = 1 / (1 + std::exp(-b[0] * x[i]));
      args.outputs[1].values<T>()[i] = s;
      args.outputs[0].values<T>()[i] = x[i] * s;
    }
  }
};

std::vector<Var> ApplySwish(Var x, const std::string& name) {
  const Var b = x.graph->Parameter("swish/b", {1}, Initializer::Constant(1.0));
  const Var inputs[] = {x, b};
  return x.graph->Apply(std::make_shared<Swish>(), inputs, name);
}

TEST_P(GraphGradient, OfOwnOp) {
  const Var x = Conv2d(Input({3, 4, 5}), {.out_channels = 8}, "conv");
  SquaredLoss(graph_,
              Conv2d(ApplySwish(x, "swish").front(), {.out_channels = 2, .kernel_h = 2}, "after"));
  Check(3);
}

TEST_P(GraphGradient, OfOwnOpWithSharedParameterAndBothOutputs) {
  const std::vector<Var> first = ApplySwish(Linear(Input({5}), {.out = 4}, "l"), "swish1");
  const std::vector<Var> second = ApplySwish(Add(first[0], first[1]), "swish2");
  SquaredLoss(graph_, second[0]);
  Check(3);
}

// x1 * x2 * dot(a, b), element by element: x1 and x2, a and b may be one and the same.
class DotProduct : public CustomOp {
 public:
  std::string type() const override { return "DotProduct"; }
  std::vector<TensorType> Infer(std::span<const TensorType> in) const override { return {in[0]}; }
  void Compute(const ForwardArgs& args) const override {
    const auto x1 = args.inputs[0].values<double>(), x2 = args.inputs[1].values<double>();
    for (size_t i = 0; i < x1.size(); ++i) {
      args.outputs[0].values<double>()[i] = x1[i] * x2[i] * Dot(args.inputs);
    }
  }
  void Differentiate(const BackwardArgs& args) const override {
    const auto dy = args.output_gradients[0].values<double>();
    const auto x1 = args.inputs[0].values<double>(), x2 = args.inputs[1].values<double>();
    double sum = 0.0;
    for (size_t i = 0; i < dy.size(); ++i) sum += dy[i] * x1[i] * x2[i];
    for (const size_t i : {0U, 1U}) {
      const auto other = args.inputs[1 - i].values<double>(),
                 w = args.inputs[3 - i].values<double>();
      auto dx = args.input_gradients[i].values<double>();
      for (size_t j = 0; j < dy.size(); ++j) dx[j] = dy[j] * other[j] * Dot(args.inputs);
      auto dw = args.input_gradients[2 + i].values<double>();
      for (size_t j = 0; j < w.size(); ++j) dw[j] = sum * w[j];
    }
  }

 private:
  static double Dot(std::span<const Tensor> inputs) {
    const auto a = inputs[2].values<double>(), b = inputs[3].values<double>();
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
  }
};

TEST_P(GraphGradient, OfOwnOpWithTheSameInputTwice) {
  const Var x = Input({4});
  const Var w = graph_.Parameter("w", {5}, Initializer::Constant(1.0));
  const Var inputs[] = {x, x, w, w};
  SquaredLoss(graph_, graph_.Apply(std::make_shared<DotProduct>(), inputs, "product").front());
  Check(3);
}

// A parameter's gradient lies in memory of its own, which a change of shape alone does not reach.
TEST_P(GraphGradient, OfParameterUnderAnotherShape) {
  const Var x = Input({4});
  const Var w = graph_.Parameter("w", {1, 6}, Initializer::Constant(1.0));
  const Var inputs[] = {x, x, Reshape(w, {2, 3}, "once"), Reshape(w, {6}, "again")};
  SquaredLoss(graph_, graph_.Apply(std::make_shared<DotProduct>(), inputs, "product").front());
  Check(3);
}

TEST_P(GraphGradient, OfComputedTarget) {
  const Var x = Input({3, 4, 5});
  const Var y = Conv2d(x, {.out_channels = 8}, "student");
  graph_.SetOutput(y);
  graph_.SetLoss(MeanSquaredError(y, Tanh(Conv2d(x, {.out_channels = 8}, "teacher"))));
  Check(3);
}

TEST_P(GraphGradient, OfComputedTargetAlone) {
  const Var x = Input({5}), y = Linear(x, {.out = 5}, "l");
  graph_.SetOutput(y);
  graph_.SetLoss(MeanSquaredError(Input({5}, "t"), y));
  Check(3);
}

TEST_P(GraphGradient, OfValueThatIsItsOwnTargetIsZero) {
  const Var y = Linear(Input({5}), {.out = 4}, "l");
  graph_.SetOutput(y);
  graph_.SetLoss(MeanSquaredError(y, y));
  Check(3);
}

TEST(OwnOp, SaysWhichNodeDoesNotFit) {
  Graph graph;
  const Var x = graph.Input("x", {{3}, DType::kFloat32});
  const Var inputs[] = {x, graph.Parameter("b", {2}, Initializer::Constant(1.0))};
  try {
    graph.Apply(std::make_shared<Swish>(), inputs, "mine");
    FAIL();
  } catch (const ShapeError& error) {
    EXPECT_STREQ(error.what(), "mine: wants one b, got (2,)");
  }
}

TEST(FrozenParameter, GetsNoGradientAndChangesNoOther) {
  Graph graph;
  const Var x = graph.Input("x", {{3, 5, 5}, DType::kFloat32});
  const Var h = Relu(BatchNorm(Conv2d(x, {.out_channels = 4}, "conv"), {}, "bn"));
  LabelLoss(graph, Linear(h, {.out = 3}, "fc"));
  const NamedTensors inputs = RandomInputs(graph, 4, 5);
  std::map<std::string, Tensor> gradients[2];
  for (const bool frozen : {false, true}) {
    TestDevice device;
    std::set<std::string> names;
    if (frozen) names = {"conv/W", "conv/b", "bn/gamma"};
    NetworkRunner runner(device, graph, DType::kFloat64, names);
    const auto plan = runner.MakePlan({.batch = 4});
    NetworkRunner::Run(*plan, inputs);
    for (const std::string name : {"conv/W", "conv/b", "bn/gamma", "bn/beta", "fc/W", "fc/b"}) {
      gradients[frozen][name] = runner.variables.GetGradient(name);
    }
  }
  for (const std::string name : {"bn/beta", "fc/W", "fc/b"}) {
    EXPECT_TRUE(SameBits(gradients[0][name], gradients[1][name])) << name;
  }
  for (const std::string name : {"conv/W", "conv/b", "bn/gamma"}) {
    for (const double g : gradients[1][name].values<double>()) EXPECT_EQ(g, 0.0);
  }
}

TEST(Loss, BatchWithoutValidLabelHasNoCountAndNoGradient) {
  Graph graph;
  const Var x = graph.Input("x", {{3}, DType::kFloat32});
  LabelLoss(graph, Linear(x, {.out = 4}, "l"));
  TestDevice device;
  NetworkRunner runner(device, graph, DType::kFloat32);
  const auto plan = runner.MakePlan({.batch = 2});
  const int32_t none[] = {-1, -1};
  const NamedTensors inputs{{"x", RandomNormal({2, 3}, 1).Cast(DType::kFloat32)},
                            {"t", Tensor::FromValues<int32_t>({2}, none)}};
  const LossSums sums = NetworkRunner::Run(*plan, inputs);
  EXPECT_EQ(sums.loss, 0.0);
  EXPECT_EQ(sums.count, 0);
  EXPECT_EQ(sums.metric_count, 2);
  const Tensor gradient = runner.variables.GetGradient("l/W");
  for (const float g : gradient.values<float>()) EXPECT_EQ(g, 0.0F);
}

}  // namespace
}  // namespace lockstep
