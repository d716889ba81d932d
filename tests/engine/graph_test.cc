#include "engine/graph/graph.h"

#include <gtest/gtest.h>

#include "engine/graph/layers.h"
#include "kernels/error.h"
#include "tests/engine/test_networks.h"

namespace lockstep {
namespace {

Var Picture(Graph& graph, const Shape& sample = {3, 7, 5}) {
  return graph.Input("x", {sample, DType::kFloat32});
}

template <typename Function>
std::string MessageOf(const Function& function) {
  try {
    function();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(Graph, FindsTheFirstValueOfAName) {
  Graph graph;
  const Var x = Picture(graph);
  const Var a = Relu(x, "a");
  Relu(a, "a");
  EXPECT_EQ(graph.Find("a"), a.id);
  EXPECT_EQ(graph.Find("x"), x.id);
  EXPECT_EQ(graph.Find(""), -1);
}

TEST(Graph, InfersShapes) {
  Graph graph;
  const Var x = Picture(graph);
  EXPECT_EQ(x.shape(), Shape({1, 3, 7, 5}));
  EXPECT_EQ(Conv2d(x, {.out_channels = 4, .stride_h = 2, .pad_w = 1}, "a").shape(),
            Shape({1, 4, 3, 5}));
  EXPECT_EQ(Conv2d(x, {.out_channels = 6, .dilation_h = 3, .groups = 3}, "b").shape(),
            Shape({1, 6, 1, 3}));
  EXPECT_EQ(MaxPool2d(x, {}).shape(), Shape({1, 3, 3, 2}));
  EXPECT_EQ(MaxPool2d(x, {.cover_all = true}).shape(), Shape({1, 3, 4, 3}));
  EXPECT_EQ(GlobalAveragePool2d(x).shape(), Shape({1, 3, 1, 1}));
  EXPECT_EQ(Linear(x, {.out = 9}, "l").shape(), Shape({1, 9}));
  EXPECT_EQ(Flatten(x).shape(), Shape({1, 105}));
  EXPECT_EQ(Reshape(x, {15, 7}).shape(), Shape({1, 15, 7}));
  const Var both[] = {x, x, Relu(x)};
  EXPECT_EQ(Concat(both).shape(), Shape({1, 9, 7, 5}));
}

TEST(Graph, MakesParametersUnderChainersNames) {
  Graph graph;
  const Var y = BatchNorm(Conv2d(Picture(graph), {.out_channels = 4}, "b/conv"), {}, "b/bn");
  Linear(y, {.out = 2}, "fc");
  for (const char* name : {"b/conv/W", "b/conv/b", "b/bn/gamma", "b/bn/beta", "fc/W", "fc/b"}) {
    ASSERT_GE(graph.Find(name), 0) << name;
    EXPECT_EQ(graph.values()[static_cast<size_t>(graph.Find(name))].role, Role::kParameter);
  }
  for (const char* name : {"b/bn/avg_mean", "b/bn/avg_var", "b/bn/N"}) {
    ASSERT_GE(graph.Find(name), 0) << name;
    EXPECT_EQ(graph.values()[static_cast<size_t>(graph.Find(name))].role, Role::kState);
  }
  EXPECT_EQ(graph.Find("b/bn/n"), -1);
}

TEST(Graph, ErrorsNameTheNodeAndBothShapes) {
  Graph graph;
  const Var x = Picture(graph);
  EXPECT_EQ(MessageOf([&] { Conv2d(x, {.out_channels = 4, .kernel_h = 9}, "big"); }),
            "big: the kernel 9x3 is larger than the padded picture of (1, 3, 7, 5)");
  EXPECT_EQ(MessageOf([&] { Conv2d(Flatten(x), {.out_channels = 4}, "flat"); }),
            "flat: wants a picture (n, c, h, w), got (1, 105)");
  EXPECT_EQ(MessageOf([&] { Conv2d(x, {.out_channels = 4, .groups = 2}, "groups"); }),
            "groups: 2 groups do not divide 3 input and 4 output channels");
  EXPECT_EQ(MessageOf([&] { Add(x, Flatten(x), "sum"); }),
            "sum: cannot add (1, 3, 7, 5) and (1, 105)");
  const Var unequal[] = {x, MaxPool2d(x, {})};
  EXPECT_EQ(MessageOf([&] { Concat(unequal, "join"); }),
            "join: cannot concatenate (1, 3, 7, 5) and (1, 3, 3, 2) along axis 1");
  EXPECT_THROW(Reshape(x, {4}, "r"), ShapeError);
  EXPECT_THROW(MaxPool2d(x, {.kernel_h = 8}, "p"), ShapeError);
  EXPECT_THROW(BatchNorm(Reshape(x, {15, 7}), {}, "n"), ShapeError);
  EXPECT_THROW(Softmax(x), ShapeError);
  EXPECT_THROW(SoftmaxCrossEntropy(Flatten(x), x), ShapeError);
  EXPECT_THROW(MeanSquaredError(x, Flatten(x)), ShapeError);
  EXPECT_EQ(MessageOf([&] {
              MeanSquaredError(x, graph.Input("counts", {{3, 7, 5}, DType::kInt32}));
            }),
            "loss: prediction float32 (1, 3, 7, 5) and target int32 (1, 3, 7, 5) differ");
}

TEST(Graph, RefusesOptionsOutOfRange) {
  Graph graph;
  const Var x = Picture(graph);
  EXPECT_THROW(Conv2d(x, {.out_channels = 0}, "c"), ConfigError);
  EXPECT_THROW(Conv2d(x, {.out_channels = 1, .stride_h = 0}, "c"), ConfigError);
  EXPECT_THROW(Conv2d(x, {.out_channels = 1, .pad_w = -1}, "c"), ConfigError);
  EXPECT_THROW(Conv2d(x, {.out_channels = 1, .groups = 0}, "c"), ConfigError);
  EXPECT_THROW(Linear(x, {.out = 0}, "l"), ConfigError);
  EXPECT_THROW(MaxPool2d(x, {.pad_h = 2}), ConfigError);
  EXPECT_THROW(AveragePool2d(x, {.stride_w = 0}), ConfigError);
  EXPECT_THROW(Dropout(x, 1.0, "d"), ConfigError);
  EXPECT_THROW(LeakyRelu(x, -0.1), ConfigError);
  EXPECT_THROW(Concat({}), ConfigError);
}

TEST(Graph, TrainsOnALossOfItsOwnOnly) {
  Graph graph, other;
  const Var x = Picture(graph), t = graph.Input("t", {{3}, DType::kFloat32});
  const Var y = Linear(x, {.out = 3}, "fc");
  const Var loss = MeanSquaredError(y, t, "first"), second = MeanSquaredError(y, t, "second");
  EXPECT_EQ(MessageOf([&] { graph.SetLoss(Add(loss, second, "both")); }),
            "the loss both is Add; set what SoftmaxCrossEntropy or MeanSquaredError returned");
  EXPECT_THROW(graph.SetLoss(y), ConfigError);
  EXPECT_THROW(graph.SetLoss(t), ConfigError);
  EXPECT_EQ(MessageOf([&] { other.SetLoss(loss); }), "the loss is no value of this graph");
  EXPECT_THROW(graph.SetLoss(Var{}), ConfigError);
  EXPECT_THROW(graph.SetOutput({&graph, 1000}), ConfigError);
  EXPECT_THROW(other.SetOutput(y), ConfigError);
  EXPECT_THROW(graph.SetOutput({&graph, graph.Find("fc/W")}), ConfigError);
  EXPECT_EQ(graph.loss(), -1);
  EXPECT_EQ(graph.output(), -1);
  graph.SetLoss(second);
  graph.SetOutput(y);
  EXPECT_EQ(graph.loss(), second.id);
  EXPECT_EQ(graph.output(), y.id);
}

TEST(Graph, DropoutWantsANameOfItsOwn) {
  Graph graph;
  const Var x = Picture(graph);
  Dropout(x, 0.5, "d");
  EXPECT_EQ(MessageOf([&] { Dropout(x, 0.5, "d"); }),
            "dropout \"d\": wants a name of its own, which keys its mask");
  EXPECT_THROW(Dropout(x, 0.5, ""), ConfigError);
  Dropout(x, 0.5, "e");
}

TEST(Graph, SharesAParameterOfTheSameNameAndShapeOnly) {
  Graph graph;
  const Var w = graph.Parameter("w", {2, 3}, Initializer::LeCunNormal());
  EXPECT_EQ(graph.Parameter("w", {2, 3}, Initializer::LeCunNormal()).id, w.id);
  EXPECT_THROW(graph.Parameter("w", {3, 2}, Initializer::LeCunNormal()), ConfigError);
  EXPECT_THROW(graph.Input("w", {{2}, DType::kFloat32}), ConfigError);
  EXPECT_THROW(graph.State("w", {{2, 3}, DType::kFloat32}, 0.0), ConfigError);
}

TEST(Graph, RefusesValuesOfAnotherGraph) {
  Graph graph, other;
  const Var x = Picture(graph), y = Picture(other);
  EXPECT_THROW(Add(x, y), ConfigError);
}

TEST(Graph, HashChangesWithWhatIsComputed) {
  const auto hash = [](double dropout, int64_t units, bool relu) {
    Graph graph;
    Var x = Linear(Picture(graph), {.out = units}, "l");
    if (relu) x = Relu(x);
    LabelLoss(graph, Linear(Dropout(x, dropout, "d"), {.out = 3}, "out"));
    return graph.Hash();
  };
  const uint64_t base = hash(0.5, 4, true);
  EXPECT_EQ(hash(0.5, 4, true), base);
  EXPECT_NE(hash(0.4, 4, true), base);
  EXPECT_NE(hash(0.5, 5, true), base);
  EXPECT_NE(hash(0.5, 4, false), base);
}

TEST(Graph, PrintsEveryNodeWithItsShapes) {
  Graph graph;
  LabelLoss(graph,
            Linear(Relu(Conv2d(Picture(graph), Conv3x3(4), "conv"), "act"), {.out = 3}, "fc"));
  EXPECT_EQ(graph.ToString(),
            "x = Input (1, 3, 7, 5) float32\n"
            "t = Input (1,) int32\n"
            "conv = Convolution out_channels=4 kernel=3x3 stride=1x1 pad=1x1 dilation=1x1 groups=1 "
            "bias=false x(1, 3, 7, 5) conv/W(4, 3, 3, 3) -> (1, 4, 7, 5)\n"
            "act = ReLU conv -> (1, 4, 7, 5)\n"
            "fc = LinearFunction bias=true act fc/W(3, 140) fc/b(3,) -> (1, 3)\n"
            "loss = SoftmaxCrossEntropy fc t(1,) -> ()\n");
}

TEST(Graph, DrawsVariablesAsOvalsAndFunctionsAsBoxes) {
  Graph graph;
  LabelLoss(graph, Linear(Picture(graph), {.out = 3}, "fc \"quoted\""));
  const std::string dot = graph.ToDot();
  EXPECT_EQ(dot.rfind("digraph graphname {", 0), 0U);
  EXPECT_NE(dot.find("label=\"LinearFunction\", shape=\"box\""), std::string::npos);
  EXPECT_NE(dot.find("label=\"x (1, 3, 7, 5), float32\", shape=\"oval\""), std::string::npos);
  EXPECT_NE(dot.find("fc \\\"quoted\\\""), std::string::npos);
  EXPECT_EQ(dot.substr(dot.size() - 2), "}\n");
}

}  // namespace
}  // namespace lockstep
