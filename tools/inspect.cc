// `lockstep inspect`: what a model file, a checkpoint or a plan holds.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <variant>
#include <vector>

#include "engine/train/checkpoint_file.h"
#include "engine/train/checkpoint_store.h"
#include "engine/train/network.h"
#include "kernels/error.h"
#include "models/describe.h"
#include "models/model_directory.h"
#include "tools/algorithm_file.h"
#include "tools/console.h"
#include "tools/options.h"
#include "tools/text.h"
#include "tools/verbs.h"

namespace lockstep::tools {
namespace {

namespace fs = std::filesystem;

struct InspectOptions {
  std::vector<std::string> paths;
  bool plan = false;
  std::string mode = "train";
  std::string model;
  std::vector<int64_t> sample;
  int64_t classes = 10;
  double width = 1.0;
  std::vector<int64_t> hidden;
  int64_t batch_size = 64;
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

std::string SpecText(const ModelSpec& spec) {
  std::string text = spec.name + " on samples of " + spec.in_shape.ToString() + ", " +
                     std::to_string(spec.classes) + " outputs";
  if (spec.width != 1.0) text += ", width " + FormatG(spec.width);
  for (size_t i = 0; i < spec.hidden.size(); ++i) {
    text += (i == 0 ? ", hidden " : " ") + std::to_string(spec.hidden[i]);
  }
  return text;
}

std::string DescribeModel(const std::string& path) {
  const ModelDescription model = DescribeModelNpz(path);
  std::string text = path + ": model file, " + std::to_string(model.arrays.size()) + " arrays, " +
                     std::to_string(model.elements) + " elements\n";
  text += model.spec ? "network: " + SpecText(*model.spec) + "\n"
                     : "network: none of ours (" + model.reason + ")\n";
  for (const auto& array : model.arrays) text += Row(array.key, array.type, array.shape);
  return text;
}

std::string ValueText(const CheckpointValue& value) {
  if (const auto* whole = std::get_if<int64_t>(&value)) return std::to_string(*whole);
  if (const auto* real = std::get_if<double>(&value)) return PythonFloat(*real);
  return Quote(std::get<std::string>(value));
}

std::string DescribeCheckpoint(const std::string& path, const CheckpointContents& contents) {
  std::string text = path + ": checkpoint, " + std::to_string(contents.tensors.size()) +
                     " arrays, " + std::to_string(contents.values.size()) + " values\n";
  for (const auto& [name, value] : contents.values)
    text += "  " + name + " = " + ValueText(value) + "\n";
  for (const auto& [name, tensor] : contents.tensors) {
    text += Row(name, std::string(Name(tensor.dtype())), tensor.shape());
  }
  return text;
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
    if (fs::exists(path + "/" + kModelFile, ignored)) {
      return DescribeModel(path + "/" + kModelFile);
    }
    std::string warnings;
    const auto newest = LoadNewestCheckpoint(
        path, [&](const std::string& line) { warnings += "warning: " + line + "\n"; });
    if (!newest) {
      throw IoError(path + " holds neither " + kModelFile + " nor a checkpoint",
                    ExitCode::kNoInput);
    }
    return warnings + DescribeCheckpoint(newest->path, newest->contents);
  }
  if (fs::path(path).extension() == ".lsc") return DescribeCheckpoint(path, ReadCheckpoint(path));
  return DescribeModel(path);
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

std::string DescribePlan(const InspectOptions& o) {
  const Model model = ModelFor(SpecFor(o), o.paths.empty());
  const auto backend = MakeCpuBackend(static_cast<int>(o.threads));
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
  return head + plan.ToString();
}

}  // namespace

int RunInspect(std::span<const std::string> arguments) {
  InspectOptions o;
  o.algorithm_file = DefaultAlgorithmFile();
  Options options("lockstep inspect", "Describes model files, checkpoints and plans.");
  options.Positional("FILE_OR_DIR", &o.paths);
  options.Add("plan", &o.plan, "print the plan of the model: every kernel call");
  options.Add("mode", &o.mode, "of the plan").OneOf({"train", "evaluate", "predict"});
  options.Add("model", &o.model, "plan of this network instead of a file's");
  options.Add("sample", &o.sample, "shape of one sample, e.g. 3,32,32").ValueName("LIST");
  options.Add("classes", &o.classes, "outputs").Min(1);
  options.Add("width", &o.width, "factor of all channel counts (vgg, lenet)").Above(0);
  options.Add("hidden", &o.hidden, "units of the hidden layers, e.g. 300,100")
      .ValueName("LIST")
      .DefaultText("mlp 1000,1000; dnn 10,10");
  options.Add("batch-size", &o.batch_size, "of the plan").Min(1).Max(1e9);
  options.Add("threads", &o.threads, "kernel threads; 0: one a core").Min(0).Max(1024);
  options.RefuseUnknown();
  options.Parse(arguments);
  if (options.help_requested()) {
    PrintResult(options.Help());
    return 0;
  }
  if (o.paths.empty() && !o.plan) throw ConfigError("give a model file, a checkpoint or --plan");
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
