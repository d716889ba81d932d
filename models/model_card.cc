#include "models/model_card.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "data/bytes.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "lockstep-model";
constexpr int64_t kVersion = 1;
constexpr int kMaxDepth = 32;
// Far above what a training reaches or a picture has.
constexpr int64_t kMostIterations = 1'000'000'000'000'000;
constexpr int64_t kMostLanes = 1024;
constexpr int64_t kMostPixels = 1 << 20;

template <typename T>
const char* Wanted() {
  if constexpr (std::is_same_v<T, std::string>) return "a string";
  if constexpr (std::is_integral_v<T>) return "a whole number";
  if constexpr (std::is_floating_point_v<T>) return "a number";
  return "a list of numbers";
}

template <typename T>
bool Fits(const Json& value) {
  if constexpr (std::is_same_v<T, std::string>) return value.is_string();
  if constexpr (std::is_unsigned_v<T>) return value.is_number_unsigned();
  if constexpr (std::is_integral_v<T>) return value.is_number_integer();
  if constexpr (std::is_floating_point_v<T>) return value.is_number();
  if constexpr (requires { typename T::value_type; } && !std::is_same_v<T, std::string>) {
    if (!value.is_array()) return false;
    return std::all_of(value.begin(), value.end(),
                       [](const Json& item) { return Fits<typename T::value_type>(item); });
  }
}

class CardReader {
 public:
  CardReader(const Json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) throw FormatError(where_ + " is not a JSON object");
  }
  template <typename T>
  void Read(const char* key, T* value) const {
    const auto found = object_.find(key);
    if (found == object_.end()) throw FormatError(where_ + " has no \"" + key + "\"");
    if (!Fits<T>(*found)) {
      throw FormatError(where_ + ": \"" + key + "\" is " + found->dump() + ", wanted " +
                        Wanted<T>());
    }
    found->get_to(*value);
  }
  // The same, but a key that is not there leaves the value alone.
  template <typename T>
  void ReadIfThere(const char* key, T* value) const {
    if (object_.contains(key)) Read(key, value);
  }
  CardReader At(const char* key) const {
    const auto found = object_.find(key);
    if (found == object_.end()) throw FormatError(where_ + " has no \"" + key + "\"");
    return {*found, where_ + ": \"" + key + "\""};
  }

 private:
  const Json& object_;
  std::string where_;
};

std::vector<int64_t> Dims(const Shape& shape) { return {shape.dims().begin(), shape.dims().end()}; }

Shape ShapeOf(const std::vector<int64_t>& dims, const std::string& name) {
  try {
    return Shape(std::span<const int64_t>(dims));
  } catch (const ShapeError& error) {
    throw FormatError(name + ": \"in_shape\": " + error.what());
  }
}

InputTransform ReadInput(const CardReader& reader) {
  InputTransform input;
  reader.Read("scale", &input.scale);
  reader.Read("mean", &input.mean);
  reader.Read("stddev", &input.stddev);
  reader.ReadIfThere("pad", &input.padding);
  reader.ReadIfThere("crop", &input.crop);
  return input;
}

// Numbers that fit samples of this shape.
void CheckInput(const InputTransform& input, const Shape& sample, const std::string& name) {
  const auto require = [&](bool good, const std::string& what) {
    if (!good) throw FormatError(name + ": \"input\": " + what);
  };
  const bool is_picture = sample.ndim() == 3;
  for (const std::vector<double>* values : {&input.mean, &input.stddev}) {
    const auto size = static_cast<int64_t>(values->size());
    require(size <= 1 || (is_picture && size == sample[0]),
            std::to_string(size) + " values in \"mean\" or \"stddev\" for samples of shape " +
                sample.ToString());
  }
  const auto finite = [](double value) { return std::isfinite(value); };
  require(finite(input.scale), "\"scale\" is not finite");
  require(std::all_of(input.mean.begin(), input.mean.end(), finite) &&
              std::all_of(input.stddev.begin(), input.stddev.end(), finite),
          "a \"mean\" or \"stddev\" is not finite");
  require(std::all_of(input.stddev.begin(), input.stddev.end(), [](double d) { return d > 0; }),
          "a \"stddev\" is not above zero");
  require(input.padding >= 0 && input.crop >= 0, "\"pad\" or \"crop\" is negative");
  require(input.padding <= kMostPixels, "\"pad\" is " + std::to_string(input.padding) +
                                            ", wanted at most " + std::to_string(kMostPixels));
  require(
      input.crop == 0 || (is_picture && sample[1] == input.crop && sample[2] == input.crop),
      "\"crop\" is " + std::to_string(input.crop) + ", but \"in_shape\" is " + sample.ToString());
}

void CheckOneOf(const std::string& value, const std::string& first, const std::string& second,
                const std::string& where) {
  if (value == first || value == second) return;
  throw FormatError(where + " is \"" + Printable(value) + "\", wanted \"" + first + "\" or \"" +
                    second + "\"");
}

void CheckRange(int64_t value, int64_t least, int64_t most, const std::string& where) {
  if (value >= least && value <= most) return;
  throw FormatError(where + " is " + std::to_string(value) + ", wanted " + std::to_string(least) +
                    " to " + std::to_string(most));
}

void CheckTraining(const ModelCard& card, const std::string& name) {
  const std::string where = name + ": \"training\": ";
  CheckOneOf(card.mode, "fast", "reproducible", where + "\"mode\"");
  const bool lanes = card.mode == "reproducible";
  CheckRange(card.lanes, lanes ? 1 : 0, lanes ? kMostLanes : 0, where + "\"lanes\"");
  if (!card.compute_dtype.empty()) {
    CheckOneOf(card.compute_dtype, "float16", "bfloat16", where + "\"compute_dtype\"");
    if (card.dtype != "float32") {
      throw FormatError(where + "\"compute_dtype\" is \"" + card.compute_dtype +
                        "\" beside arrays of " + card.dtype + ", wanted float32");
    }
  }
  if (card.wire != "as-is") CheckOneOf(card.wire, "float16", "bfloat16", where + "\"wire\"");
  CheckRange(card.gradient_delay, 0, 1, where + "\"gradient_delay\"");
  CheckRange(card.iterations, 0, kMostIterations, where + "\"iterations\"");
}

// A network that can be built.
void CheckSpec(const ModelSpec& spec, const std::string& name) {
  try {
    BuildModel(spec);
  } catch (const Error& error) {
    throw FormatError(name + ": \"model\": " + error.what());
  }
}

// Not nested deeper than any card is: what shows values to people recurses.
Json ParseFlatJson(const std::string& text, const std::string& name) {
  // The parser would take it for the end.
  if (text.find('\0') != std::string::npos) throw FormatError(name + " holds a zero byte");
  bool deep = false;
  const auto keep = [&](int depth, Json::parse_event_t, Json&) {
    deep = deep || depth > kMaxDepth;
    return depth <= kMaxDepth;
  };
  Json json = Json::parse(text, keep, /*allow_exceptions=*/false);
  if (deep) throw FormatError(name + " is nested deeper than " + std::to_string(kMaxDepth));
  if (json.is_discarded()) throw FormatError(name + " is not valid JSON");
  return json;
}

}  // namespace

std::string ToJson(const ModelCard& card) {
  const Json json{
      {"format", kFormat},
      {"version", kVersion},
      {"model",
       {{"name", card.spec.name},
        {"in_shape", Dims(card.spec.in_shape)},
        {"classes", card.spec.classes},
        {"width", card.spec.width},
        {"hidden", card.spec.hidden}}},
      {"dtype", card.dtype},
      {"input",
       {{"scale", card.input.scale},
        {"mean", card.input.mean},
        {"stddev", card.input.stddev},
        {"pad", card.input.padding},
        {"crop", card.input.crop}}},
      {"training",
       {{"mode", card.mode},
        {"lanes", card.lanes},
        {"compute_dtype", card.compute_dtype.empty() ? card.dtype : card.compute_dtype},
        {"wire", card.wire},
        {"gradient_delay", card.gradient_delay},
        {"seed", card.seed},
        {"iterations", card.iterations}}},
      {"weights_sha256", card.weights_sha256},
  };
  return json.dump(2) + "\n";
}

ModelCard ParseModelCard(const std::string& text, const std::string& name) {
  const Json json = ParseFlatJson(text, name);
  const CardReader card(json, name);
  std::string format;
  int64_t version = 0;
  card.Read("format", &format);
  card.Read("version", &version);
  if (format != kFormat || version != kVersion) {
    throw FormatError(name + " is \"" + format + "\" version " + std::to_string(version) +
                      ", wanted \"" + kFormat + "\" version " + std::to_string(kVersion));
  }
  ModelCard result;
  const CardReader model = card.At("model");
  std::vector<int64_t> dims;
  model.Read("name", &result.spec.name);
  model.Read("in_shape", &dims);
  model.Read("classes", &result.spec.classes);
  model.Read("width", &result.spec.width);
  model.Read("hidden", &result.spec.hidden);
  result.spec.in_shape = ShapeOf(dims, name);
  CheckSpec(result.spec, name);
  card.Read("dtype", &result.dtype);
  CheckOneOf(result.dtype, "float32", "float64", name + ": \"dtype\"");
  result.input = ReadInput(card.At("input"));
  CheckInput(result.input, result.spec.in_shape, name);
  const CardReader training = card.At("training");
  training.Read("mode", &result.mode);
  training.Read("lanes", &result.lanes);
  training.ReadIfThere("compute_dtype", &result.compute_dtype);
  if (result.compute_dtype == result.dtype) result.compute_dtype.clear();
  training.ReadIfThere("wire", &result.wire);
  training.ReadIfThere("gradient_delay", &result.gradient_delay);
  training.Read("seed", &result.seed);
  training.Read("iterations", &result.iterations);
  CheckTraining(result, name);
  card.Read("weights_sha256", &result.weights_sha256);
  return result;
}

}  // namespace lockstep
