// `lockstep predict`: a trained model on arrays, files or a channel.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/channel.h"
#include "engine/train/publish.h"
#include "kernels/error.h"
#include "tools/algorithm_file.h"
#include "tools/array_files.h"
#include "tools/class_names.h"
#include "tools/class_table.h"
#include "tools/console.h"
#include "tools/contact_sheet.h"
#include "tools/device.h"
#include "tools/environment.h"
#include "tools/file_roles.h"
#include "tools/limits.h"
#include "tools/options.h"
#include "tools/predictor.h"
#include "tools/text.h"
#include "tools/verbs.h"

namespace lockstep::tools {
namespace {

struct PredictOptions {
  std::string model_dir;
  std::string input, output;
  std::string channel;
  ChannelOptions channel_options;
  std::string classes, contact_sheet, class_names;
  int64_t samples = 40;
  bool softmax = false;
  int64_t batch_size = 256;
  std::string device = kDefaultDevice;
  std::optional<int> allowed_gpus;
  int64_t threads = 0;
  std::string algorithm_file;
};

void Warn(const std::string& line) { Console(2).Write("warning: " + line + "\n"); }

void SoftmaxRows(Tensor* logits) {
  const int64_t classes = logits->shape()[1];
  const std::span<float> values = logits->values<float>();
  for (int64_t begin = 0; begin < logits->size(); begin += classes) {
    const std::span<float> row =
        values.subspan(static_cast<size_t>(begin), static_cast<size_t>(classes));
    const float highest = *std::max_element(row.begin(), row.end());
    double sum = 0.0;
    for (float& v : row) sum += v = std::exp(v - highest);
    for (float& v : row) v = static_cast<float>(v / sum);
  }
}

int64_t BestClass(std::span<const float> row) {
  return std::max_element(row.begin(), row.end()) - row.begin();
}

// Of the first `count` samples; numbers are taken to be from 0 to 1.
std::vector<uint8_t> PictureBytes(const Dataset& dataset, int64_t count) {
  const Tensor pictures = dataset.Slice(0, count).features();
  if (pictures.dtype() == DType::kUint8) {
    const auto bytes = pictures.values<uint8_t>();
    return {bytes.begin(), bytes.end()};
  }
  const Tensor numbers = pictures.Cast(DType::kFloat32);
  std::vector<uint8_t> bytes;
  bytes.reserve(static_cast<size_t>(numbers.size()));
  for (const float value : numbers.values<float>()) {
    bytes.push_back(static_cast<uint8_t>(std::lround(255.0F * std::clamp(value, 0.0F, 1.0F))));
  }
  return bytes;
}

// What makes no sense of numbers that a regression predicts.
void CheckClassifier(const PredictOptions& o, const Predictor& predictor) {
  if (predictor.model().classifier) return;
  const char* const option = o.softmax            ? "--softmax"
                             : !o.classes.empty() ? "--classes"
                                                  : "--contact-sheet";
  if (!o.softmax && o.classes.empty() && o.contact_sheet.empty()) return;
  throw ConfigError(std::string(option) + " wants a model that tells classes; " +
                    predictor.found().weights + " does not");
}

// Of the classes: as told, as the file beside the model says, or their numbers.
std::vector<std::string> ClassNames(const PredictOptions& o, const Predictor& predictor) {
  const int64_t classes = predictor.model().spec.classes;
  if (!o.class_names.empty()) return ReadClassNames(o.class_names, classes);
  const std::filesystem::path weights = predictor.found().weights;
  const std::filesystem::path beside = weights.parent_path() / kClassNamesFile;
  std::error_code ignored;
  if (std::filesystem::exists(beside, ignored)) return ReadClassNames(beside.string(), classes);
  std::vector<std::string> names;
  for (int64_t i = 0; i < classes; ++i) names.push_back(std::to_string(i));
  return names;
}

// "" for an ignored label, and where there are none.
std::string Truth(const Dataset& dataset, int64_t row, const std::vector<std::string>& names) {
  if (!dataset.has_classes()) return "";
  const int32_t label = dataset.labels().values<int32_t>()[static_cast<size_t>(row)];
  return label < 0 ? "" : names.at(static_cast<size_t>(label));
}

void CheckPictures(const Dataset& dataset) {
  const Shape& sample = dataset.features().shape();
  if (sample.ndim() == 4 && (sample[1] == 1 || sample[1] == 3)) return;
  throw ShapeError(
      "a contact sheet wants grey or RGB pictures, the channel holds " + sample.ToString(),
      ExitCode::kBadData);
}

void WriteContactSheet(const PredictOptions& o, const Dataset& dataset,
                       const std::vector<std::string>& names, Tensor logits) {
  const Shape& sample = dataset.features().shape();
  const int64_t count = std::min(o.samples, dataset.size());
  SoftmaxRows(&logits);
  const std::vector<uint8_t> pixels = PictureBytes(dataset, count);
  ContactSheet sheet{.title = "Test pictures and predictions",
                     .pixels = pixels,
                     .count = count,
                     .channels = sample[1],
                     .height = sample[2],
                     .width = sample[3],
                     .labels = {}};
  const auto classes = static_cast<size_t>(logits.shape()[1]);
  for (int64_t i = 0; i < count; ++i) {
    const auto row = logits.values<float>().subspan(static_cast<size_t>(i) * classes, classes);
    const int64_t best = BestClass(row);
    sheet.labels.push_back({names.at(static_cast<size_t>(best)), Truth(dataset, i, names),
                            static_cast<double>(row[static_cast<size_t>(best)])});
  }
  Publish(o.contact_sheet, RenderContactSheet(sheet));
}

std::string AccuracyLine(const Dataset& dataset, const Tensor& logits) {
  const auto classes = static_cast<size_t>(logits.shape()[1]);
  int64_t correct = 0, counted = 0;
  for (int64_t i = 0; i < dataset.size(); ++i) {
    const int32_t label = dataset.labels().values<int32_t>()[static_cast<size_t>(i)];
    if (label < 0) continue;  // ignored, as in evaluation
    const auto row = logits.values<float>().subspan(static_cast<size_t>(i) * classes, classes);
    correct += BestClass(row) == label;
    ++counted;
  }
  if (counted == 0) return "no accuracy: every label is -1\n";
  char line[128];
  std::snprintf(line, sizeof line, "accuracy %.4f (%lld of %lld)\n",
                static_cast<double>(correct) / static_cast<double>(counted),
                static_cast<long long>(correct), static_cast<long long>(counted));
  return line;
}

PredictOptions Parse(std::span<const std::string> arguments, std::string* help) {
  PredictOptions o;
  o.algorithm_file = DefaultAlgorithmFile();
  o.channel_options.split = "test";
  o.channel_options.warn = Warn;
  Options options("lockstep predict", "Runs a trained model.");
  options.Add("model-dir", &o.model_dir, "directory with model.npz, or an npz file")
      .ValueName("DIR")
      .DefaultText("SM_MODEL_DIR");
  options.Add("input", &o.input, "rows to predict: .npy, .npz or .csv").ValueName("FILE");
  options.Add("channel", &o.channel, "or: a channel with labels").ValueName("DIR");
  options.Add("output", &o.output, "results: .npy, .npz or .csv").ValueName("FILE");
  options
      .Add("classes", &o.classes,
           "the likeliest class of each row: number, name and probability, as .csv")
      .ValueName("FILE");
  options.Add("softmax", &o.softmax, "write probabilities instead of logits");
  options.Add("split", &o.channel_options.split, "which part of a channel that holds both")
      .OneOf({"train", "test"});
  options.Add("training-data-file", &o.channel_options.file, "only this file of the channel");
  options.Add("data-key", &o.channel_options.data_key, "array of the samples in npz files");
  options.Add("label-key", &o.channel_options.label_key, "array of the labels in npz files");
  options.Add("contact-sheet", &o.contact_sheet, "draw pictures of the channel with predictions")
      .ValueName("PNG");
  options.Add("class-names", &o.class_names, "what the classes are called: one name a line")
      .ValueName("FILE")
      .DefaultText("labels.txt beside the model");
  options.Add("samples", &o.samples, "pictures on it").Min(1).Max(1000);
  options.Add("batch-size", &o.batch_size, "rows at a time").Min(1).Max(1e9);
  AddDeviceOption(options, &o.device);
  options.Add("threads", &o.threads, "kernel threads; 0: one a core").Min(0).Max(1024);
  options.RefuseUnknown();
  options.Parse(arguments);
  if (options.help_requested()) {
    *help = options.Help();
    return o;
  }
  const Environment environment = ReadEnvironment(ProcessVariables());
  o.allowed_gpus = environment.num_gpus;
  if (o.model_dir.empty()) o.model_dir = environment.model_dir.value_or("");
  if (o.model_dir.empty()) throw ConfigError("give --model-dir DIR or set SM_MODEL_DIR");
  if (o.input.empty() == o.channel.empty()) {
    throw ConfigError("give either --input FILE or --channel DIR");
  }
  if (o.output.empty() && o.classes.empty() && o.contact_sheet.empty() && o.channel.empty()) {
    throw ConfigError("give --output FILE or --classes FILE");
  }
  if (!o.class_names.empty() && o.classes.empty() && o.contact_sheet.empty()) {
    throw ConfigError("--class-names wants --classes FILE or --contact-sheet PNG");
  }
  if (!o.contact_sheet.empty() && o.channel.empty()) {
    throw ConfigError("--contact-sheet wants --channel DIR");
  }
  if (!o.channel_options.file.empty() && o.channel.empty()) {
    throw ConfigError("--training-data-file wants --channel DIR");
  }
  return o;
}

// No result may take the place of what it follows from.
void CheckRoles(const PredictOptions& o) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const fs::path given(o.model_dir);
  const fs::path weights = fs::is_directory(given, ignored) ? given / kModelFile : given;
  FileRoles roles;
  roles.Reads("--model-dir", weights.string());
  for (const char* name : {kModelCardFile, kClassNamesFile}) {
    roles.Reads("--model-dir", (weights.parent_path() / name).string());
  }
  roles.Reads("--class-names", o.class_names);
  roles.Reads("--input", o.input);
  roles.ReadsChannel("--channel", o.channel, o.channel_options);
  roles.Writes("--output", o.output);
  roles.Writes("--classes", o.classes);
  roles.Writes("--contact-sheet", o.contact_sheet);
}

// Of --input. Throws FormatError naming the first row with a NaN or an infinity.
Tensor ReadRows(const PredictOptions& o) {
  Tensor rows = ReadArray(o.input, o.channel_options.data_key);
  if (!IsFloating(rows.dtype()) || rows.size() == 0 || rows.shape().ndim() == 0) return rows;
  const int64_t width = rows.shape().row_size();
  const int64_t bad = FirstNonFinite(rows, rows.dtype());
  if (bad < 0) return rows;
  throw FormatError(OneLine(o.input, 400) + " row " + std::to_string(bad / width) + ": feature " +
                    std::to_string(bad % width) +
                    " is not a finite number; repair or remove the row");
}

// Before anything that takes time.
void CheckFiles(const PredictOptions& o) {
  CheckRoles(o);
  if (!o.input.empty()) CheckArrayName("--input", o.input);
  if (!o.output.empty()) CheckArrayName("--output", o.output);
  if (!o.contact_sheet.empty() && !o.contact_sheet.ends_with(".png")) {
    throw ConfigError("--contact-sheet " + Quote(o.contact_sheet) +
                      ": wants a name that ends in .png, as it is a PNG");
  }
  for (const std::string& path : {o.output, o.classes, o.contact_sheet}) {
    if (!path.empty()) Publisher probe(path);
  }
}

}  // namespace

int RunPredict(std::span<const std::string> arguments) {
  Console console(1);
  std::string help;
  const PredictOptions o = Parse(arguments, &help);
  if (!help.empty()) {
    PrintResult(help);
    return 0;
  }
  CheckFiles(o);
  RequireLimits(1, o.threads);
  Predictor predictor(o.model_dir, {.device = o.device,
                                    .allowed_gpus = o.allowed_gpus,
                                    .threads = static_cast<int>(o.threads),
                                    .algorithm_file = o.algorithm_file,
                                    .batch_size = o.batch_size});
  CheckClassifier(o, predictor);
  if (!predictor.warning().empty()) Warn(predictor.warning());
  std::optional<Dataset> dataset;
  if (!o.channel.empty()) {
    ChannelOptions channel = o.channel_options;
    channel.labels = predictor.model().classifier ? LabelKind::kClasses : LabelKind::kTargets;
    dataset = LoadChannel(o.channel, channel);
    dataset->CheckFinite();
  }
  const bool has_truth = dataset && dataset->has_classes();
  if (has_truth) dataset->CheckLabels(static_cast<int32_t>(predictor.model().spec.classes));
  std::vector<std::string> names;
  if (!o.contact_sheet.empty()) CheckPictures(*dataset);
  if (!o.contact_sheet.empty() || !o.classes.empty()) names = ClassNames(o, predictor);
  const Tensor logits = predictor.Run(dataset ? dataset->features() : ReadRows(o));
  if (has_truth) console.Write(AccuracyLine(*dataset, logits));
  if (!o.output.empty()) {
    Tensor result = logits.Clone();
    if (o.softmax) SoftmaxRows(&result);
    WriteArray(o.output, result);
    console.Write("wrote " + o.output + " " + result.shape().ToString() + "\n");
  }
  if (!o.classes.empty()) {
    Tensor probabilities = logits.Clone();
    SoftmaxRows(&probabilities);
    Publish(o.classes, ClassTable(probabilities, names));
    console.Write("wrote " + o.classes + "\n");
  }
  if (!o.contact_sheet.empty()) {
    WriteContactSheet(o, *dataset, names, logits.Clone());
    console.Write("wrote " + o.contact_sheet + "\n");
  }
  console.CheckWritten();
  return 0;
}

}  // namespace lockstep::tools
