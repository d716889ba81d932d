#include "tools/recipe.h"

#include <algorithm>

#include "engine/text.h"
#include "kernels/error.h"
#include "tools/text.h"

namespace lockstep::tools {
namespace {

constexpr const char* kPrefix = "recipe/";

class RecipeBuilder {
 public:
  void Add(const std::string& option, const std::string& value) {
    recipe_.emplace_back(option, value);
  }
  void Add(const std::string& option, double value) { Add(option, PythonFloat(value)); }
  void Add(const std::string& option, bool value) {
    Add(option, std::string(value ? "True" : "False"));
  }
  void Add(const std::string& option, int64_t value) { Add(option, std::to_string(value)); }
  void Add(const std::string& option, const std::vector<double>& values) {
    std::vector<std::string> texts;
    texts.reserve(values.size());
    for (const double value : values) texts.push_back(FormatG(value, 17));
    Add(option, Join(texts, ","));
  }

  void AddNetwork(const ModelSpec& model) {
    const ModelInfo& info = FindModel(model.name);
    Add("model", model.name);
    if (info.has_hidden) {
      Add("hidden", std::vector<double>(model.hidden.begin(), model.hidden.end()));
    }
    if (info.has_width) Add("width", model.width);
    Add("classes", model.classes);
  }

  void AddOptimizer(const TrainOptions& o) {
    const auto is = [&](std::initializer_list<const char*> names) {
      return std::find(names.begin(), names.end(), o.optimizer) != names.end();
    };
    Add("optimizer", o.optimizer);
    if (is({"momentum", "nag", "nesterov"})) Add("momentum", o.momentum);
    if (is({"adam", "adamw"})) Add("beta1", o.beta1);
    if (is({"adam", "adamw"})) Add("beta2", o.beta2);
    if (is({"rmsprop", "adadelta"})) Add("rho", o.rho.value());
    if (!is({"sgd", "momentum", "nag", "nesterov"})) Add("eps", o.eps.value());
    Add("weight-decay", o.weight_decay);
    Add("gradient-clipping", o.gradient_clipping);
    Add("freeze", Join(o.freeze, ","));
  }

  void AddSchedule(const TrainOptions& o) {
    Add("schedule", o.schedule);
    const bool steps = o.schedule == "steps";
    if (steps || o.schedule == "exponential-shift") Add("schedule-factor", o.schedule_factor);
    if (o.schedule == "exponential-shift") Add("schedule-epochs", o.schedule_epochs);
    if (o.schedule == "decay") Add("decay", o.decay);
    if (steps) {
      Add("schedule-steps", std::vector<double>(o.schedule_steps.begin(), o.schedule_steps.end()));
    }
    Add("warm-up", o.warm_up);
    Add("epochs", o.epochs);
  }

  void AddSamples(const TrainOptions& o) {
    Add("batch-size", o.batch_size);
    Add("shuffle", o.shuffle);
    Add("scale", o.transform.scale);
    Add("mean", o.mean);
    Add("stddev", o.stddev);
    Add("pad", o.transform.padding);
    Add("crop", o.transform.crop);
    Add("random-crop", o.transform.random_crop);
    Add("flip", o.transform.flip);
  }

  void AddArithmetic(const TrainOptions& o) {
    Add("seed", std::to_string(o.seed));
    Add("dtype", o.dtype);
    Add("allow-tf32", o.allow_tf32);
    Add("exact-math", o.exact_math);
    Add("wire", o.wire);
    if (o.wire != kWireAsIs) Add("error-feedback", o.error_feedback);
    Add("double-buffering", o.double_buffering);
    Add("reproducible", o.reproducible);
    if (!o.reproducible) return;
    Add("lanes", int64_t{o.lanes});
    Add("lane-norm", o.lane_norm);
  }

  Recipe Finish() { return std::move(recipe_); }

 private:
  Recipe recipe_;
};

// The option's value in the checkpoint, or null.
const std::string* Stored(const CheckpointContents& contents, const std::string& option) {
  const auto found = contents.values.find(kPrefix + option);
  return found == contents.values.end() ? nullptr : std::get_if<std::string>(&found->second);
}

std::string Shown(const std::string& value) { return value.empty() ? "''" : OneLine(value, 100); }

}  // namespace

Recipe RecipeOf(const TrainOptions& options, const ModelSpec& model) {
  RecipeBuilder recipe;
  recipe.AddNetwork(model);
  recipe.Add("learning-rate", options.learning_rate);
  recipe.AddOptimizer(options);
  recipe.AddSchedule(options);
  recipe.AddSamples(options);
  recipe.AddArithmetic(options);
  return recipe.Finish();
}

void SaveRecipe(const Recipe& recipe, CheckpointContents* contents) {
  for (const auto& [option, value] : recipe) contents->values[kPrefix + option] = value;
}

std::string RequireSameRecipe(const Recipe& recipe, const CheckpointContents& contents,
                              const std::string& path) {
  std::vector<std::string> differences;
  std::string warning;
  bool cosine = false;
  for (const auto& [option, value] : recipe) {
    cosine = cosine || (option == "schedule" && value == "cosine");
    // Numbers of another optimizer or schedule are not there; that one's name is what differs.
    const std::string* stored = Stored(contents, option);
    if (stored == nullptr || *stored == value) continue;
    if (option != "epochs") {
      differences.push_back("--" + option + " " + Shown(*stored) + " (this job: " + Shown(value) +
                            ")");
    } else if (cosine) {
      warning = "--schedule cosine falls over " + Counted(std::stoll(value), "epoch") +
                " from here, over " + *stored +
                " before: the result is not that of an unbroken run";
    }
  }
  if (differences.empty()) return warning;
  throw ShapeError(path + " was written with " + Join(differences, ", ") +
                   "; give what it was written with, or start anew with --resume False");
}

}  // namespace lockstep::tools
