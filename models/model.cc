#include "models/model.h"

#include <algorithm>
#include <cmath>

#include "engine/text.h"
#include "kernels/error.h"
#include "models/networks.h"

namespace lockstep {
namespace {

constexpr int64_t kMostUnits = int64_t{1} << 24;

// A plan of so many layers is made in less than a second.
constexpr size_t kMostHidden = 1000;

std::string Names() {
  std::string names;
  for (const ModelInfo& info : KnownModels()) names += (names.empty() ? "" : ", ") + info.name;
  return names;
}

[[noreturn]] void NoOption(const ModelInfo& info, const std::string& option) {
  const char* own = info.has_width ? "width" : "hidden";
  throw ConfigError("model " + info.name + " has no option " + option + "; it has classes and " +
                    own);
}

void CheckUnits(int64_t units, const std::string& what) {
  if (units < 1 || units > kMostUnits) {
    throw ConfigError(what + " must be 1 to " + std::to_string(kMostUnits) + ", got " +
                      std::to_string(units));
  }
}

void CheckSpec(const ModelSpec& spec, const ModelInfo& info) {
  if (!info.has_width && spec.width != 1.0) NoOption(info, "width");
  if (!info.has_hidden && !spec.hidden.empty()) NoOption(info, "hidden");
  if (!(spec.width > 0.0 && spec.width <= 64.0)) {
    throw ConfigError("width must lie above 0 and be at most 64, got " + Text(spec.width));
  }
  CheckUnits(spec.classes, "model " + spec.name + ": the number of outputs");
  if (spec.hidden.size() > kMostHidden) {
    throw ConfigError("model " + spec.name + " has at most " + std::to_string(kMostHidden) +
                      " hidden layers, got " + std::to_string(spec.hidden.size()));
  }
  for (const int64_t units : spec.hidden) {
    CheckUnits(units, "model " + spec.name + ": the units of a hidden layer");
  }
  if (spec.in_shape.ndim() == 0 || spec.in_shape.size() == 0) {
    throw ShapeError("model " + spec.name + " wants samples with at least one number, got " +
                         spec.in_shape.ToString(),
                     ExitCode::kBadData);
  }
}

void FillHidden(ModelSpec* spec) {
  if (!spec->hidden.empty()) return;
  if (spec->name == "mlp") spec->hidden = {1000, 1000};
  if (spec->name == "dnn") spec->hidden = {10, 10};
}

Var Network(Var x, const ModelSpec& spec) {
  if (spec.name == "mlp") return MlpNetwork(x, spec);
  if (spec.name == "dnn") return DnnNetwork(x, spec);
  if (spec.name == "lenet") return LenetNetwork(x, spec);
  return VggNetwork(x, spec);
}

}  // namespace

const std::vector<ModelInfo>& KnownModels() {
  static const std::vector<ModelInfo> models{
      {"mlp", "Chainer's MLP: linear and ReLU, units 1000-1000", false, true, true},
      {"vgg", "Chainer's VGG for CIFAR: 13 convolutions, batch normalisation", true, false, true},
      {"lenet", "Caffe's LeNet: convolutions 20-50, linear 500", true, false, true},
      {"dnn", "regression: linear and ReLU, units 10-10, squared error", false, true, false},
  };
  return models;
}

const ModelInfo& FindModel(const std::string& name) {
  const auto& models = KnownModels();
  const auto found =
      std::find_if(models.begin(), models.end(), [&](const auto& m) { return m.name == name; });
  if (found == models.end()) {
    throw ConfigError("unknown model \"" + name + "\"; known are " + Names());
  }
  return *found;
}

int64_t ScaledUnits(int64_t units, const ModelSpec& spec) {
  const double scaled = std::floor(static_cast<double>(units) * spec.width);
  if (scaled < 1.0) {
    throw ConfigError("model " + spec.name + ": width " + Text(spec.width) + " leaves nothing of " +
                      std::to_string(units) + " units");
  }
  return static_cast<int64_t>(scaled);
}

void ExpectPictures(const ModelSpec& spec, int64_t least_side) {
  const Shape& shape = spec.in_shape;
  if (shape.ndim() == 3 && std::min(shape[1], shape[2]) >= least_side) return;
  const std::string side = std::to_string(least_side);
  throw ShapeError("model " + spec.name + " wants pictures (c, h, w)" +
                       (least_side > 1 ? " of at least " + side + "x" + side : "") + ", got " +
                       shape.ToString() + "; give it such pictures or take --model mlp",
                   ExitCode::kBadData);
}

Model BuildModel(const ModelSpec& spec) {
  const ModelInfo& info = FindModel(spec.name);
  CheckSpec(spec, info);
  Model model{spec, std::make_unique<Graph>(), info.classifier};
  FillHidden(&model.spec);
  Graph& graph = *model.graph;
  const Var x = graph.Input("x", {spec.in_shape, DType::kFloat32});
  const Var y = Network(x, model.spec);
  graph.SetOutput(y);
  if (model.classifier) {
    graph.SetLoss(SoftmaxCrossEntropy(y, graph.Input("t", {Shape({}), DType::kInt32})));
  } else {
    graph.SetLoss(MeanSquaredError(y, graph.Input("t", {Shape({spec.classes}), DType::kFloat32})));
  }
  return model;
}

}  // namespace lockstep
