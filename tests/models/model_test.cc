#include "models/model.h"

#include <gtest/gtest.h>

#include "kernels/error.h"
#include "tests/engine/gradient_check.h"
#include "tests/engine/network_runner.h"

namespace lockstep {
namespace {

struct Counts {
  int64_t arrays = 0, elements = 0, trained = 0;
};

Counts Count(const Graph& graph) {
  Counts counts;
  for (const auto& value : graph.values()) {
    if (value.role != Role::kParameter && value.role != Role::kState) continue;
    ++counts.arrays;
    counts.elements += value.type.shape.size();
    if (value.role == Role::kParameter) counts.trained += value.type.shape.size();
  }
  return counts;
}

Shape ShapeOf(const Graph& graph, const std::string& name) {
  return graph.values().at(static_cast<size_t>(graph.Find(name))).type.shape;
}

std::string MessageOf(const ModelSpec& spec) {
  try {
    BuildModel(spec);
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

// Figures of the real Chainer: 85 arrays, 14,996,686 elements.
TEST(Vgg, HasChainersArrays) {
  const Model model = BuildModel({.name = "vgg", .in_shape = {3, 32, 32}});
  const Counts counts = Count(*model.graph);
  EXPECT_EQ(counts.arrays, 85);
  EXPECT_EQ(counts.elements, 14'996'686);
  EXPECT_EQ(counts.trained, 14'987'200);
  EXPECT_EQ(ShapeOf(*model.graph, "predictor/block1_1/conv/W"), Shape({64, 3, 3, 3}));
  EXPECT_EQ(ShapeOf(*model.graph, "predictor/block5_3/bn/avg_var"), Shape({512}));
  EXPECT_EQ(ShapeOf(*model.graph, "predictor/bn_fc1/N"), Shape({}));
  EXPECT_EQ(ShapeOf(*model.graph, "predictor/fc1/W"), Shape({512, 512}));
  EXPECT_EQ(ShapeOf(*model.graph, "predictor/fc2/W"), Shape({10, 512}));
}

// What the forward pass of Chainer's example calls, in its order.
TEST(Vgg, HasChainersNodes) {
  struct Block {
    const char* channels;
    const char* dropout;  // behind it; null: the pool
  };
  std::vector<std::string> wanted;
  const std::string norm = "BatchNormalization eps=2e-05 decay=0.9 unbiased_running_variance=true";
  for (const Block& block : {Block{"64", "0.3"}, Block{"64", nullptr},                         //
                             Block{"128", "0.4"}, Block{"128", nullptr},                       //
                             Block{"256", "0.4"}, Block{"256", "0.4"}, Block{"256", nullptr},  //
                             Block{"512", "0.4"}, Block{"512", "0.4"}, Block{"512", nullptr},  //
                             Block{"512", "0.4"}, Block{"512", "0.4"}, Block{"512", nullptr}}) {
    wanted.insert(
        wanted.end(),
        {std::string("Convolution out_channels=") + block.channels +
             " kernel=3x3 stride=1x1 pad=1x1 dilation=1x1 groups=1 bias=false",
         norm, "ReLU",
         block.dropout != nullptr
             ? std::string("Dropout ratio=") + block.dropout
             : "MaxPooling2D kernel=2x2 stride=2x2 pad=0x0 cover_all=true count_include_pad=true"});
  }
  wanted.insert(wanted.end(), {"Dropout ratio=0.5", "LinearFunction bias=false", norm, "ReLU",
                               "Dropout ratio=0.5", "LinearFunction bias=false"});

  const Model model = BuildModel({.name = "vgg", .in_shape = {3, 32, 32}});
  std::vector<std::string> found;
  int last = model.graph->Find("x");
  for (const Graph::Node& node : model.graph->nodes()) {
    EXPECT_EQ(node.inputs.at(0), last) << node.name;  // one chain
    if (node.op->is_loss()) break;
    found.push_back(node.op->type());
    for (const auto& [name, value] : node.op->attributes())
      found.back() += " " + name + "=" + value;
    last = node.outputs.at(0);
  }
  EXPECT_EQ(found, wanted);
  EXPECT_EQ(model.graph->output(), last);
}

TEST(Mlp, HasChainersArrays) {
  const Model model = BuildModel({.name = "mlp", .in_shape = {1, 28, 28}});
  EXPECT_EQ(Count(*model.graph).arrays, 6);
  EXPECT_EQ(Count(*model.graph).elements, 1'796'010);
  EXPECT_EQ(ShapeOf(*model.graph, "predictor/l1/W"), Shape({1000, 784}));
  EXPECT_EQ(ShapeOf(*model.graph, "predictor/l3/b"), Shape({10}));
  EXPECT_EQ(model.spec.hidden, (std::vector<int64_t>{1000, 1000}));
}

// Figures of Caffe's prototxt for 28x28 pictures: 431,080 parameters.
TEST(Lenet, HasCaffesArrays) {
  const Model model = BuildModel({.name = "lenet", .in_shape = {1, 28, 28}});
  EXPECT_EQ(Count(*model.graph).elements, 431'080);
  EXPECT_EQ(ShapeOf(*model.graph, "predictor/conv2/W"), Shape({50, 20, 5, 5}));
  EXPECT_EQ(ShapeOf(*model.graph, "predictor/fc1/W"), Shape({500, 800}));
}

TEST(Lenet, TakesOtherPictures) {
  for (const Shape& shape : {Shape({3, 32, 32}), Shape({1, 13, 13}), Shape({2, 29, 40})}) {
    BuildModel({.name = "lenet", .in_shape = shape});
  }
  EXPECT_EQ(MessageOf({.name = "lenet", .in_shape = {1, 12, 28}}),
            "model lenet wants pictures (c, h, w) of at least 13x13, got (1, 12, 28); give it such "
            "pictures or take --model mlp");
}

TEST(Dnn, IsARegression) {
  const Model model = BuildModel({.name = "dnn", .in_shape = {7}, .classes = 1});
  EXPECT_FALSE(model.classifier);
  EXPECT_EQ(Count(*model.graph).elements, 7 * 10 + 10 + 10 * 10 + 10 + 10 + 1);
  EXPECT_EQ(ShapeOf(*model.graph, "predictor/output/W"), Shape({1, 10}));
  ExpectGradientsAreDerivatives(*model.graph, 5, true);
}

TEST(BuildModel, EveryModelTrainsOnEveryPictureItAccepts) {
  for (const Shape& shape : {Shape({3, 32, 32}), Shape({1, 28, 28}), Shape({2, 17, 33})}) {
    for (const ModelInfo& info : KnownModels()) {
      ModelSpec spec{.name = info.name, .in_shape = shape, .classes = 3};
      if (info.has_width) spec.width = 0.0625;
      if (info.has_hidden) spec.hidden = {4};
      SCOPED_TRACE(info.name + " " + shape.ToString());
      const Model model = BuildModel(spec);
      TestDevice device;
      NetworkRunner runner(device, *model.graph, DType::kFloat32);
      const auto plan = runner.MakePlan({.batch = 3});
      NamedTensors inputs = RandomInputs(*model.graph, 3, 1);
      for (auto& [name, value] : inputs) {
        if (IsFloating(value.dtype())) value = value.Cast(DType::kFloat32);
      }
      EXPECT_GT(NetworkRunner::Run(*plan, inputs).loss, 0.0);
    }
  }
}

TEST(BuildModel, WidthScalesAsPythonsIntDoes) {
  const Model model = BuildModel({.name = "vgg", .in_shape = {3, 32, 32}, .width = 0.13});
  EXPECT_EQ(ShapeOf(*model.graph, "predictor/block1_1/conv/W"), Shape({8, 3, 3, 3}));
  EXPECT_EQ(ShapeOf(*model.graph, "predictor/fc1/W"), Shape({66, 66}));
}

TEST(BuildModel, SaysWhatIsKnown) {
  EXPECT_EQ(MessageOf({.name = "resnet", .in_shape = {3, 32, 32}}),
            "unknown model \"resnet\"; known are mlp, vgg, lenet, dnn");
  EXPECT_EQ(MessageOf({.name = "mlp", .in_shape = {784}, .width = 0.5}),
            "model mlp has no option width; it has classes and hidden");
  EXPECT_EQ(MessageOf({.name = "vgg", .in_shape = {3, 32, 32}, .hidden = {10}}),
            "model vgg has no option hidden; it has classes and width");
  EXPECT_EQ(MessageOf({.name = "vgg", .in_shape = {784}}),
            "model vgg wants pictures (c, h, w), got (784,); give it such pictures or take --model "
            "mlp");
  EXPECT_EQ(MessageOf({.name = "vgg", .in_shape = {3, 32, 32}, .width = 0.01}),
            "model vgg: width 0.01 leaves nothing of 64 units");
  EXPECT_EQ(MessageOf({.name = "mlp", .in_shape = {784}, .classes = 0}),
            "model mlp: the number of outputs must be 1 to 16777216, got 0");
  EXPECT_EQ(MessageOf({.name = "mlp", .in_shape = {784}, .hidden = {10, -1}}),
            "model mlp: the units of a hidden layer must be 1 to 16777216, got -1");
  EXPECT_EQ(MessageOf({.name = "mlp", .in_shape = {3, 0}}),
            "model mlp wants samples with at least one number, got (3, 0)");
}

}  // namespace
}  // namespace lockstep
