// `lockstep inspect`: what a model, a checkpoint, an array file or a plan holds.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <variant>
#include <vector>

#include "data/batch_iterator.h"
#include "data/bounded_reader.h"
#include "data/channel.h"
#include "data/input_file.h"
#include "data/npz.h"
#include "data/synthetic.h"
#include "data/value_range.h"
#include "engine/text.h"
#include "engine/train/checkpoint_file.h"
#include "engine/train/checkpoint_store.h"
#include "engine/train/network.h"
#include "kernels/error.h"
#include "models/describe.h"
#include "models/model_directory.h"
#include "tools/algorithm_file.h"
#include "tools/array_files.h"
#include "tools/console.h"
#include "tools/device.h"
#include "tools/options.h"
#include "tools/peak.h"
#include "tools/small_file.h"
#include "tools/text.h"
#include "tools/verbs.h"

namespace lockstep::tools {
namespace {

namespace fs = std::filesystem;

struct InspectOptions {
  std::vector<std::string> paths;
  bool plan = false;
  bool profile = false;
  std::string mode = "train";
  std::string model;
  std::vector<int64_t> sample;
  int64_t classes = 10;
  double width = 1.0;
  std::vector<int64_t> hidden;
  int64_t batch_size = 64;
  std::string device = kDefaultDevice;
  int64_t threads = 0;
  std::string algorithm_file;
};

std::string Row(const std::string& name, const std::string& type, const Shape& shape) {
  std::string row = "  " + name;
  row.resize(std::max<size_t>(row.size() + 1, 44), ' ');
  row += type;
  row.resize(std::max<size_t>(row.size() + 1, 54), ' ');
  return row + shape.ToString() + "\n";
}

// The type is NumPy's where the file is: "<f4".
std::string ArrayRow(const std::string& name, const NpyHeader& header, const Tensor& array) {
  const ValueRange range = RangeOf(array);
  std::string row = Row(name, header.descr, header.shape);
  row.back() = ' ';
  if (range.least <= range.largest) {
    row += " " + FormatG(range.least) + " to " + FormatG(range.largest);
  }
  if (range.not_finite > 0) row += " and " + std::to_string(range.not_finite) + " not finite";
  return row + "\n";
}

std::string DescribeNpy(const std::string& path) {
  constexpr uint64_t kLongestHeader = uint64_t{1} << 20;
  const Tensor array = ReadArray(path, "");
  const InputFile file = InputFile::Open(path);
  const Bytes start = file.Read(0, std::min(file.size(), kLongestHeader));
  BoundedReader reader(start.span(), path);
  return path + ": array file\n" + ArrayRow("", ParseNpyHeader(&reader), array);
}

// Of an npz file's arrays those of numbers with their ranges.
std::string NpzRows(const std::string& path) {
  const NpzReader file(path);
  std::string text;
  for (const std::string& name : file.names()) {
    const NpyHeader header = file.ReadHeader(name);
    const bool numbers = std::string_view("fiub").find(header.kind) != std::string_view::npos;
    text +=
        numbers ? ArrayRow(name, header, file.Read(name)) : Row(name, header.descr, header.shape);
  }
  return text;
}

// One axis says how many numbers, not how they lie in the pictures they may have been.
std::string SpecText(const ModelSpec& spec) {
  const std::string sample =
      spec.in_shape.ndim() == 1 ? Counted(spec.in_shape[0], "number") : spec.in_shape.ToString();
  std::string text =
      spec.name + " on samples of " + sample + ", " + Counted(spec.classes, "output");
  if (spec.width != 1.0) text += ", width " + FormatG(spec.width);
  for (size_t i = 0; i < spec.hidden.size(); ++i) {
    text += (i == 0 ? ", hidden " : " ") + std::to_string(spec.hidden[i]);
  }
  return text;
}

std::string Numbers(const std::vector<double>& values) {
  std::vector<std::string> texts;
  texts.reserve(values.size());
  for (const double value : values) texts.push_back(FormatG(value));
  return Join(texts, ",");
}

// What model.json says beside the network.
std::string CardText(const ModelCard& card) {
  const InputTransform& input = card.input;
  std::string text = "input: scale " + FormatG(input.scale);
  if (!input.mean.empty()) text += ", mean " + Numbers(input.mean);
  if (!input.stddev.empty()) text += ", stddev " + Numbers(input.stddev);
  if (input.padding > 0) text += ", pad " + std::to_string(input.padding);
  if (input.crop > 0) text += ", crop " + std::to_string(input.crop);
  text += "\ntrained: " + Counted(card.iterations, "iteration") + ", " +
          (card.compute_dtype.empty() ? card.dtype : card.compute_dtype) + ", seed " +
          std::to_string(card.seed) + ", " + card.mode;
  if (card.lanes > 0) text += " with " + Counted(card.lanes, "lane");
  if (card.wire != "as-is") text += ", gradients travelled as " + OneLine(card.wire, 100);
  if (card.gradient_delay > 0) {
    text += ", gradients " + std::to_string(card.gradient_delay) + " step late";
  }
  return text + "\nweights sha256: " + OneLine(card.weights_sha256, 100) + "\n";
}

std::string DescribeCard(const std::string& path) {
  const ModelCard card = ParseModelCard(ReadSmallFile(path).value_or(""), path);
  return path + ": model card\nnetwork: " + SpecText(card.spec) + "\n" + CardText(card);
}

// Of the files of a channel.
std::string DatasetText(const ModelDescription& file) {
  const auto shape = [&](const std::string& key) {
    const auto found = std::find_if(file.arrays.begin(), file.arrays.end(),
                                    [&](const auto& array) { return array.key == key; });
    return found == file.arrays.end() ? Shape({}) : found->shape;
  };
  const Shape data = shape(ChannelOptions{}.data_key), labels = shape(ChannelOptions{}.label_key);
  if (data.ndim() == 0 || labels.ndim() == 0 || data[0] != labels[0]) return "";
  return "data set of " + Counted(data[0], "sample") + " " +
         Shape(data.dims().subspan(1)).ToString() + " with labels";
}

// What model.json beside the file says, where it is of these arrays: they do not tell all.
ModelSpec SpecOf(const std::string& path, const ModelSpec& guessed) {
  try {
    return FindModelDirectory(path).spec;
  } catch (const Error&) {
    return guessed;
  }
}

std::string DescribeNpz(const std::string& path) {
  const ModelDescription model = DescribeModelNpz(path);
  const std::string dataset = model.spec ? "" : DatasetText(model);
  const std::string kind = model.spec ? "model file" : dataset.empty() ? "npz file" : dataset;
  std::string text = path + ": " + kind + ", " + Counted(std::ssize(model.arrays), "array") + ", " +
                     Counted(model.elements, "element") + "\n";
  if (!dataset.empty()) return text + NpzRows(path);
  if (!model.spec) return text + "network: none of ours (" + model.reason + ")\n" + NpzRows(path);
  text += "network: " + SpecText(SpecOf(path, *model.spec)) + "\n";
  for (const auto& array : model.arrays) text += Row(array.key, array.type, array.shape);
  return text;
}

// model.npz, and model.json where it is.
std::string DescribeModelDirectory(const std::string& path) {
  std::string text = DescribeNpz(path + "/" + kModelFile);
  const std::string card = path + "/" + kModelCardFile;
  std::error_code ignored;
  if (!fs::exists(card, ignored)) return text;
  const FoundModel found = FindModelDirectory(path);
  const std::string warning =
      found.warning.empty() ? "" : "warning: " + OneLine(found.warning) + "\n";
  return text + DescribeCard(card) + warning;
}

std::string ValueText(const CheckpointValue& value) {
  if (const auto* whole = std::get_if<int64_t>(&value)) return std::to_string(*whole);
  if (const auto* real = std::get_if<double>(&value)) return PythonFloat(*real);
  return Quote(std::get<std::string>(value));
}

std::string DescribeCheckpoint(const std::string& path, const CheckpointContents& contents) {
  std::string text = path + ": checkpoint, " + Counted(std::ssize(contents.tensors), "array") +
                     ", " + Counted(std::ssize(contents.values), "value") + "\n";
  for (const auto& [name, value] : contents.values)
    text += "  " + name + " = " + ValueText(value) + "\n";
  for (const auto& [name, tensor] : contents.tensors) {
    text += Row(name, std::string(Name(tensor.dtype())), tensor.shape());
  }
  return text;
}

// Snapshots of Chainer's have no ending.
void RequireZip(const std::string& path) {
  const InputFile file = InputFile::Open(path);
  const Bytes start = file.Read(0, std::min<uint64_t>(file.size(), 2));
  if (start.size() == 2 && start.span()[0] == 'P' && start.span()[1] == 'K') return;
  throw FormatError(OneLine(path, 400) +
                    " is nothing that inspect knows; it reads model.npz and model.json, "
                    "checkpoints (.lsc), arrays (.npy, .npz), Chainer's snapshots and directories "
                    "with a model or checkpoints");
}

// Of something that is there.
bool IsDirectory(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (fs::exists(status)) return fs::is_directory(status);
  const bool denied = error == std::errc::permission_denied;
  throw IoError("cannot inspect " + OneLine(path, 400) + ": " + error.message(),
                denied ? ExitCode::kNoPermission : ExitCode::kNoInput);
}

std::string Describe(const std::string& path) {
  std::error_code ignored;
  if (IsDirectory(path)) {
    if (fs::exists(path + "/" + kModelFile, ignored)) return DescribeModelDirectory(path);
    std::string warnings;
    const auto newest = LoadNewestCheckpoint(
        path, [&](const std::string& line) { warnings += "warning: " + line + "\n"; });
    if (!newest) {
      throw IoError(path + " holds neither " + kModelFile + " nor a checkpoint",
                    ExitCode::kNoInput);
    }
    return warnings + DescribeCheckpoint(newest->path, newest->contents);
  }
  const std::string ending = fs::path(path).extension();
  if (ending == ".lsc") return DescribeCheckpoint(path, ReadCheckpoint(path));
  if (ending == ".npy") return DescribeNpy(path);
  if (ending == ".json") return DescribeCard(path);
  if (ending != ".npz") RequireZip(path);
  return DescribeNpz(path);
}

Shape SampleShape(const std::vector<int64_t>& extents) {
  double product = 1.0;
  for (const int64_t extent : extents) product *= static_cast<double>(std::max<int64_t>(extent, 0));
  if (product < 1.0 || product > 1e9 || extents.size() > 3) {
    throw ConfigError("--sample wants one to three extents from 1 up, of at most 1e9 numbers");
  }
  return Shape(std::span<const int64_t>(extents));
}

// The network of a file, or of the options, which are then what a shape that cannot be is due to.
Model ModelFor(const ModelSpec& spec, bool of_options) {
  try {
    return BuildModel(spec);
  } catch (const ShapeError& error) {
    throw ShapeError(error.what(), of_options ? ExitCode::kUsage : error.code());
  }
}

// The spec that the options name, or that of the model file given.
ModelSpec SpecFor(const InspectOptions& o) {
  if (!o.paths.empty()) {
    if (!o.model.empty()) throw ConfigError("--plan wants either a model file or --model NAME");
    return FindModelDirectory(o.paths.front()).spec;
  }
  if (o.model.empty()) throw ConfigError("--plan wants a model file or --model NAME");
  Shape sample = o.sample.empty() ? Shape({784}) : SampleShape(o.sample);
  if (o.sample.empty() && o.model == "vgg") sample = Shape({3, 32, 32});
  if (o.sample.empty() && o.model == "lenet") sample = Shape({1, 28, 28});
  return {.name = o.model,
          .in_shape = sample,
          .classes = o.classes,
          .width = o.width,
          .hidden = o.hidden};
}

// What each line of the plan takes, on synthetic samples and untrained weights.
std::string TimePlan(const Model& model, Mode mode, int64_t batch_size, Backend& backend,
                     Network& network) {
  constexpr int kRuns = 20;
  network.variables().Initialize(1);
  const auto classes = static_cast<int32_t>(model.classifier ? model.spec.classes : 0);
  DatasetSource source(SyntheticDataset(model.spec.in_shape, classes, batch_size, 1),
                       {.batch_size = batch_size});
  Plan& plan = network.plan(mode, batch_size);
  const Batch& batch = source.Next();
  plan.SetInput("x", batch.x, batch.preparation);
  if (mode != Mode::kPredict) plan.SetInput("t", batch.labels);
  const RunInputs inputs{.ids = batch.ids.data()};
  plan.Run(inputs);  // what is done once
  std::vector<double> seconds;
  for (int i = 0; i < kRuns; ++i) plan.RunTimed(inputs, &seconds);
  return PlanTable(plan, seconds, kRuns, MeasurePeak(backend));
}

std::string DescribePlan(const InspectOptions& o) {
  const Model model = ModelFor(SpecFor(o), o.paths.empty());
  const auto backend = OpenDevice({.device = o.device}, static_cast<int>(o.threads)).backend;
  Network network(*model.graph, *backend, {.algorithm_file = o.algorithm_file});
  const Mode mode = o.mode == "train"      ? Mode::kTrain
                    : o.mode == "evaluate" ? Mode::kEvaluate
                                           : Mode::kPredict;
  const Plan& plan = network.plan(mode, o.batch_size);
  char head[200];
  std::snprintf(head, sizeof head,
                "%s plan, batch %lld, %s: %zu lines, %.2f GFLOP, %.1f MB arena\n", o.mode.c_str(),
                static_cast<long long>(o.batch_size), backend->fingerprint().c_str(), plan.lines(),
                plan.flops() * 1e-9, static_cast<double>(plan.arena_bytes()) * 1e-6);
  return head +
         (o.profile ? TimePlan(model, mode, o.batch_size, *backend, network) : plan.ToString());
}

}  // namespace

int RunInspect(std::span<const std::string> arguments) {
  InspectOptions o;
  o.algorithm_file = DefaultAlgorithmFile();
  Options options("lockstep inspect",
                  "Describes models, checkpoints, array files (.npy, .npz) and plans.");
  options.Positional("FILE_OR_DIR", &o.paths);
  options.Add("plan", &o.plan, "print the plan of the model: every kernel call");
  options.Add(
      "profile", &o.profile,
      "of the plan, run on synthetic data: the time of each line and its share of the peak");
  options.Add("mode", &o.mode, "of the plan").OneOf({"train", "evaluate", "predict"});
  options.Add("model", &o.model, "plan of mlp, vgg, lenet or dnn instead of a file's");
  options.Add("sample", &o.sample, "shape of one sample, e.g. 3,32,32").ValueName("LIST");
  options.Add("classes", &o.classes, "outputs").Min(1);
  options.Add("width", &o.width, "factor of all channel counts (vgg, lenet)").Above(0);
  options.Add("hidden", &o.hidden, "units of the hidden layers, e.g. 300,100")
      .ValueName("LIST")
      .DefaultText("mlp 1000,1000; dnn 10,10");
  options.Add("batch-size", &o.batch_size, "of the plan").Min(1).Max(1e9);
  AddDeviceOption(options, &o.device);
  options.Add("threads", &o.threads, "kernel threads; 0: one a core").Min(0).Max(1024);
  options.RefuseUnknown();
  options.Parse(arguments);
  if (options.help_requested()) {
    PrintResult(options.Help());
    return 0;
  }
  if (o.paths.empty() && !o.plan)
    throw ConfigError("give a model, a checkpoint, an array file or --plan");
  if (o.profile && !o.plan) throw ConfigError("--profile wants --plan");
  if (o.plan) {
    PrintResult(DescribePlan(o));
    return 0;
  }
  Console console(1);
  for (const std::string& path : o.paths) console.Write(Describe(path));
  console.CheckWritten();
  return 0;
}

}  // namespace lockstep::tools
