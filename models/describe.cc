#include "models/describe.h"

#include <cmath>
#include <map>

#include "data/npz.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

using Arrays = std::map<std::string, Shape>;  // below the prefix

const Shape* Find(const Arrays& arrays, const std::string& name, int ndim) {
  const auto found = arrays.find(name);
  return found == arrays.end() || found->second.ndim() != ndim ? nullptr : &found->second;
}

// Layers <stem>1/W, <stem>2/W, ...
std::vector<Shape> Layers(const Arrays& arrays, const std::string& stem) {
  std::vector<Shape> layers;
  while (const Shape* w =
             Find(arrays, stem + std::to_string(layers.size() + 1) + "/W", /*ndim=*/2)) {
    layers.push_back(*w);
  }
  return layers;
}

std::optional<ModelSpec> GuessMlp(const Arrays& arrays) {
  std::vector<Shape> layers = Layers(arrays, "l");
  if (layers.size() < 2) return std::nullopt;
  ModelSpec spec{.name = "mlp", .in_shape = {layers.front()[1]}, .classes = layers.back()[0]};
  layers.pop_back();
  for (const Shape& w : layers) spec.hidden.push_back(w[0]);
  return spec;
}

std::optional<ModelSpec> GuessDnn(const Arrays& arrays) {
  const std::vector<Shape> layers = Layers(arrays, "hidden");
  const Shape* output = Find(arrays, "output/W", 2);
  if (layers.empty() || output == nullptr) return std::nullopt;
  ModelSpec spec{.name = "dnn", .in_shape = {layers.front()[1]}, .classes = (*output)[0]};
  for (const Shape& w : layers) spec.hidden.push_back(w[0]);
  return spec;
}

int64_t Side(int64_t elements) { return std::llround(std::sqrt(static_cast<double>(elements))); }

std::optional<ModelSpec> GuessVgg(const Arrays& arrays) {
  const Shape* first = Find(arrays, "block1_1/conv/W", 4);
  const Shape* last_conv = Find(arrays, "block5_3/conv/W", 4);
  const Shape* fc1 = Find(arrays, "fc1/W", 2);
  const Shape* fc2 = Find(arrays, "fc2/W", 2);
  if (first == nullptr || last_conv == nullptr || fc1 == nullptr || fc2 == nullptr) {
    return std::nullopt;
  }
  if ((*last_conv)[0] == 0) return std::nullopt;
  const int64_t side = 32 * Side((*fc1)[1] / (*last_conv)[0]);
  return ModelSpec{.name = "vgg",
                   .in_shape = {(*first)[1], side, side},
                   .classes = (*fc2)[0],
                   .width = static_cast<double>((*fc2)[1]) / 512.0};
}

std::optional<ModelSpec> GuessLenet(const Arrays& arrays) {
  const Shape* conv1 = Find(arrays, "conv1/W", 4);
  const Shape* conv2 = Find(arrays, "conv2/W", 4);
  const Shape* fc1 = Find(arrays, "fc1/W", 2);
  const Shape* fc2 = Find(arrays, "fc2/W", 2);
  if (conv1 == nullptr || conv2 == nullptr || fc1 == nullptr || fc2 == nullptr) {
    return std::nullopt;
  }
  if ((*conv2)[0] == 0) return std::nullopt;
  // Windows take 4 off a side, poolings halve it.
  const int64_t side = 4 * Side((*fc1)[1] / (*conv2)[0]) + 12;
  return ModelSpec{.name = "lenet",
                   .in_shape = {(*conv1)[1], side, side},
                   .classes = (*fc2)[0],
                   .width = static_cast<double>((*fc1)[0]) / 500.0};
}

// Why the arrays are not those of `spec`; empty when they are.
std::string Difference(const ModelSpec& spec, const Arrays& arrays) {
  const Model model = BuildModel(spec);
  for (const auto& value : model.graph->values()) {
    if (value.role != Role::kParameter && value.role != Role::kState) continue;
    const std::string name = value.name.substr(std::string("predictor/").size());
    const auto found = arrays.find(name);
    if (found == arrays.end()) return "looks like " + spec.name + ", but has no " + name;
    const Shape& wanted = value.type.shape;
    const bool counter = wanted.ndim() == 0 && found->second.size() == 1;
    if (!(found->second == wanted) && !counter) {
      return "looks like " + spec.name + ", but " + name + " has shape " +
             found->second.ToString() + " instead of " + wanted.ToString();
    }
  }
  return "";
}

// Fills spec or reason; false when these arrays remind of no network.
bool Guess(const Arrays& arrays, ModelDescription* description) {
  for (const auto guess : {GuessVgg, GuessLenet, GuessMlp, GuessDnn}) {
    const std::optional<ModelSpec> spec = guess(arrays);
    if (!spec) continue;
    try {
      description->reason = Difference(*spec, arrays);
    } catch (const Error& error) {
      description->reason = error.what();
    }
    if (description->reason.empty()) description->spec = spec;
    return true;
  }
  return false;
}

}  // namespace

ModelDescription DescribeModelNpz(const std::string& path) {
  const NpzReader file(path);
  ModelDescription description;
  bool uninitialised = false;
  for (const std::string& key : file.names()) {
    const NpyHeader header = file.ReadHeader(key);
    description.arrays.push_back({key, header.descr, header.shape});
    description.elements += header.shape.size();
    uninitialised = uninitialised || header.is_pickled();
  }
  for (const std::string prefix :
       {"predictor/", "", "updater/model:main/predictor/", "updater/model:main/"}) {
    Arrays arrays;
    for (const auto& array : description.arrays) {
      if (array.key.starts_with(prefix)) arrays[array.key.substr(prefix.size())] = array.shape;
    }
    description.prefix = prefix;
    if (Guess(arrays, &description)) return description;
  }
  description.prefix.clear();
  description.reason = uninitialised ? "arrays are not initialised (saved before the first batch)"
                                     : "these are not the arrays of mlp, vgg, lenet or dnn";
  return description;
}

}  // namespace lockstep
