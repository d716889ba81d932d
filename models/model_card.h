// model.json, beside model.npz: what the arrays do not say. Format: docs/model-files.md.
#ifndef LOCKSTEP_MODELS_MODEL_CARD_H_
#define LOCKSTEP_MODELS_MODEL_CARD_H_

#include <cstdint>
#include <string>
#include <vector>

#include "models/model.h"

namespace lockstep {

// What happens to a stored sample before the network sees it: (x * scale - mean) / stddev, bytes
// only being scaled, then zeros (before that, too) around a picture and a cut from its middle.
struct InputTransform {
  double scale = 1.0;
  std::vector<double> mean = {}, stddev = {};  // one, or one a channel; empty: 0 and 1
  int64_t padding = 0;                         // pixels on every side
  int64_t crop = 0;                            // height and width of the cut; 0: none

  friend bool operator==(const InputTransform&, const InputTransform&) = default;
};

struct ModelCard {
  ModelSpec spec = {};
  InputTransform input = {};
  std::string dtype = "float32";  // of the arrays
  // How it was trained: "fast", or "reproducible" with `lanes` lanes.
  std::string mode = "fast";
  int64_t lanes = 0;
  // What it was computed in: "float16" or "bfloat16" beside float32; empty: `dtype`.
  std::string compute_dtype = {};
  // How gradients travelled between processes: "as-is", "float16" or "bfloat16"; and by how many
  // steps they were used late.
  std::string wire = "as-is";
  int64_t gradient_delay = 0;
  uint64_t seed = 0;
  int64_t iterations = 0;
  std::string weights_sha256 = {};  // WeightsHash of the arrays in model.npz

  friend bool operator==(const ModelCard&, const ModelCard&) = default;
};

std::string ToJson(const ModelCard& card);
// FormatError naming `name` and the key for anything missing, of another type or out of range;
// unknown keys are ignored.
ModelCard ParseModelCard(const std::string& json, const std::string& name);

}  // namespace lockstep

#endif  // LOCKSTEP_MODELS_MODEL_CARD_H_
