// The networks that come with the engine.
#ifndef LOCKSTEP_MODELS_MODEL_H_
#define LOCKSTEP_MODELS_MODEL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/graph/graph.h"

namespace lockstep {

// Which network, for which data: all that decides its arrays.
struct ModelSpec {
  std::string name = "mlp";
  Shape in_shape{};               // of one sample, without the batch: (784,), (3, 32, 32)
  int64_t classes = 10;           // outputs; of dnn, the numbers predicted
  double width = 1.0;             // vgg, lenet: factor of all channel and unit counts
  std::vector<int64_t> hidden{};  // mlp, dnn: units of the hidden layers; empty: the model's own

  friend bool operator==(const ModelSpec&, const ModelSpec&) = default;
};

// Inputs "x" (sample shape) and "t" (int32 labels; of dnn, floating targets); the output is what
// the network predicts (of classifiers the logits), the loss a sum over the batch.
struct Model {
  ModelSpec spec;  // with the model's own `hidden` filled in
  std::unique_ptr<Graph> graph;
  bool classifier = true;
};

// Parameters are named as Chainer's Classifier(MLP), Classifier(VGG) name them. Throws ConfigError
// listing what is known for an unknown model, an option the model has not and a value out of
// range, ShapeError (65) for samples that do not fit.
Model BuildModel(const ModelSpec& spec);

struct ModelInfo {
  std::string name;
  std::string summary;  // one line
  bool has_width = false;
  bool has_hidden = false;
  bool classifier = true;  // labels are classes; else numbers to be predicted
};
// In the order they are listed in.
const std::vector<ModelInfo>& KnownModels();
// Throws ConfigError listing the known ones.
const ModelInfo& FindModel(const std::string& name);

}  // namespace lockstep

#endif  // LOCKSTEP_MODELS_MODEL_H_
