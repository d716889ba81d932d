#include "engine/train/state.h"

#include <cmath>
#include <limits>
#include <string_view>

#include "engine/text.h"
#include "engine/train/posix_file.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

constexpr std::string_view kVariables = "variables/";
constexpr const char* kComputeDType = "network/compute_dtype";
constexpr const char* kFingerprint = "data/fingerprint";
// Of two, between the least and the largest double.
constexpr int64_t kMostExponent = 2200;

std::string ComputeDTypeText(const NetworkOptions& options) {
  return std::string(Name(options.compute_dtype.value_or(options.dtype)));
}

std::string StateKey(const std::string& state, const std::string& parameter) {
  return "optimizer/" + state + "/" + parameter;
}

// FormatError (65) for one that no training leaves: gradients of float32 are multiplied by it.
LossScale LossScaleOf(const CheckpointContents& contents) {
  const char* const key = "optimizer/loss_scale";
  const LossScale scale{
      .scale = FiniteReal(contents, key),
      .good_steps = IntegerIn(contents, "optimizer/loss_scale_good_steps", kMostSteps),
      .overflows = IntegerIn(contents, "optimizer/loss_scale_overflows", kMostSteps)};
  constexpr double kMost = std::numeric_limits<float>::max();
  if (scale.scale > 0.0 && scale.scale <= kMost) return scale;
  throw FormatError("the checkpoint's value \"" + std::string(key) + "\" is " + Text(scale.scale) +
                    ", wanted a positive number that float32 holds; the file is damaged");
}

std::string Settings(const Updater& updater, const Variables& variables) {
  std::string text = updater.optimizer().settings() +
                     " weight_decay=" + Text(updater.hooks().weight_decay) +
                     " gradient_clipping=" + Text(updater.hooks().gradient_clipping);
  for (const std::string& name : variables.frozen()) text += " frozen=" + name;
  return text;
}

template <typename Visit>
void ForEachState(const Updater& updater, const Variables& variables, const Visit& visit) {
  for (const std::string& state : updater.optimizer().state_names()) {
    for (const Variables::Entry& entry : variables.entries()) {
      if (entry.role == Role::kParameter) visit(state, entry);
    }
  }
}

}  // namespace

void SaveVariables(const Variables& variables, CheckpointContents* contents) {
  for (const Variables::Entry& entry : variables.entries()) {
    contents->tensors["variables/" + entry.name] = variables.View(entry);
  }
}

void CheckVariables(const CheckpointContents& contents, const Variables& variables) {
  for (const auto& [key, tensor] : contents.tensors) {
    if (key.starts_with(kVariables) && !variables.Contains(key.substr(kVariables.size()))) {
      throw ShapeError("the checkpoint holds " + Printable(key.substr(kVariables.size())) +
                       " of shape " + tensor.shape().ToString() +
                       ", which this network does not have");
    }
  }
  for (const Variables::Entry& entry : variables.entries()) {
    contents.Array(std::string(kVariables) + entry.name, entry.type);
  }
}

void RestoreVariables(const CheckpointContents& contents, Variables* variables) {
  for (const Variables::Entry& entry : variables->entries()) {
    variables->Set(entry, contents.Array(std::string(kVariables) + entry.name, entry.type));
  }
}

void SaveUpdater(const Updater& updater, const Variables& variables, CheckpointContents* contents) {
  contents->values["optimizer/settings"] = Settings(updater, variables);
  contents->values["optimizer/updates"] = updater.updates();
  if (variables.loss_scale() != nullptr) {
    const LossScale scale = variables.GetLossScale();
    contents->values["optimizer/loss_scale"] = scale.scale;
    contents->values["optimizer/loss_scale_good_steps"] = scale.good_steps;
    contents->values["optimizer/loss_scale_overflows"] = scale.overflows;
  }
  ForEachState(updater, variables, [&](const std::string& state, const Variables::Entry& entry) {
    contents->tensors[StateKey(state, entry.name)] = updater.StateView(entry.name, state);
  });
}

void CheckUpdater(const CheckpointContents& contents, const Variables& variables,
                  const Updater& updater) {
  const std::string& stored = contents.Text("optimizer/settings");
  if (stored != Settings(updater, variables)) {
    throw ShapeError("the checkpoint was written with optimizer '" + Printable(stored) +
                     "', this job has '" + Settings(updater, variables) + "'");
  }
  ForEachState(updater, variables, [&](const std::string& state, const Variables::Entry& entry) {
    contents.Array(StateKey(state, entry.name), entry.type);
  });
  IntegerIn(contents, "optimizer/updates", kMostSteps);
  if (variables.loss_scale() != nullptr) LossScaleOf(contents);
}

void RestoreUpdater(const CheckpointContents& contents, Variables& variables, Updater* updater) {
  if (variables.loss_scale() != nullptr) variables.SetLossScale(LossScaleOf(contents));
  ForEachState(*updater, variables, [&](const std::string& state, const Variables::Entry& entry) {
    updater->SetState(entry.name, state, contents.Array(StateKey(state, entry.name), entry.type));
  });
  updater->set_updates(contents.Integer("optimizer/updates"));
}

void SaveLanes(LaneRunner* lanes, CheckpointContents* contents) {
  contents->values["lanes/count"] = int64_t{lanes == nullptr ? 0 : lanes->options().lanes};
  if (lanes == nullptr) return;
  contents->values["lanes/norm"] = static_cast<int64_t>(lanes->options().norm);
  const std::vector<int64_t>& exponents = lanes->gradient_sums().exponents();
  contents->tensors["lanes/exponents"] =
      Tensor::FromValues<int64_t>(Shape({static_cast<int64_t>(exponents.size())}), exponents);
}

void CheckLanes(const CheckpointContents& contents, LaneRunner* lanes) {
  RequireSame(contents, "lanes/count", lanes == nullptr ? 0 : lanes->options().lanes,
              "lanes (0: not reproducible)");
  if (lanes == nullptr) return;
  RequireSame(contents, "lanes/norm", static_cast<int64_t>(lanes->options().norm),
              "--lane-norm (0: sync, 1: lane)");
  const auto size = static_cast<int64_t>(lanes->gradient_sums().exponents().size());
  const Tensor& stored = contents.Array("lanes/exponents", {Shape({size}), DType::kInt64});
  for (const int64_t exponent : stored.values<int64_t>()) {
    if (exponent == GradientSums::kUnknownExponent ||
        (exponent >= -kMostExponent && exponent <= kMostExponent))
      continue;
    throw FormatError("the checkpoint's array \"lanes/exponents\" holds " +
                      std::to_string(exponent) + ", wanted " + std::to_string(-kMostExponent) +
                      " to " + std::to_string(kMostExponent) + "; the file is damaged");
  }
}

void RestoreLanes(const CheckpointContents& contents, LaneRunner* lanes) {
  if (lanes == nullptr) return;
  const auto size = static_cast<int64_t>(lanes->gradient_sums().exponents().size());
  const Tensor& stored = contents.Array("lanes/exponents", {Shape({size}), DType::kInt64});
  const auto values = stored.values<int64_t>();
  lanes->gradient_sums().set_exponents({values.begin(), values.end()});
}

void SaveComputeDType(const NetworkOptions& options, CheckpointContents* contents) {
  contents->values[kComputeDType] = ComputeDTypeText(options);
}

void CheckComputeDType(const CheckpointContents& contents, const NetworkOptions& options) {
  const std::string here = ComputeDTypeText(options);
  const std::string stored = contents.values.contains(kComputeDType)
                                 ? contents.Text(kComputeDType)
                                 : std::string(Name(options.dtype));
  if (stored == here) return;
  throw ShapeError("the checkpoint was computed in " + Printable(stored) +
                   ", this job computes in " + here + "; go on with the same --dtype");
}

void SaveFingerprint(const BatchSource& source, CheckpointContents* contents) {
  contents->values[kFingerprint] = Hexadecimal(source.fingerprint());
}

void CheckFingerprint(const CheckpointContents& contents, const BatchSource& source) {
  if (!contents.values.contains(kFingerprint)) return;
  const std::string& stored = contents.Text(kFingerprint);
  const std::string here = Hexadecimal(source.fingerprint());
  if (stored == here) return;
  throw ShapeError(
      "the training data is not that of the checkpoint: as many samples, but other "
      "values or another order (fingerprint " +
      Printable(stored) + " there, " + here +
      " here); give the files it was written with or start anew, with lockstep train "
      "by --resume False");
}

int64_t IntegerIn(const CheckpointContents& contents, const std::string& key, int64_t most) {
  const int64_t stored = contents.Integer(key);
  if (stored < 0 || stored > most) {
    throw FormatError("the checkpoint's value \"" + key + "\" is " + std::to_string(stored) +
                      ", wanted 0 to " + std::to_string(most) + "; the file is damaged");
  }
  return stored;
}

double FiniteReal(const CheckpointContents& contents, const std::string& key) {
  const double stored = contents.Real(key);
  if (!std::isfinite(stored)) {
    throw FormatError("the checkpoint's value \"" + key + "\" is " + Text(stored) +
                      ", wanted a finite number; the file is damaged");
  }
  return stored;
}

void RequireSame(const CheckpointContents& contents, const std::string& key, int64_t wanted,
                 const std::string& what) {
  const int64_t stored = contents.Integer(key);
  if (stored != wanted) {
    throw ShapeError(what + ": the checkpoint has " + std::to_string(stored) + ", this job " +
                     std::to_string(wanted));
  }
}

}  // namespace lockstep
