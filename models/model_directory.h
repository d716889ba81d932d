// The directory that training leaves and predicting opens: model.npz and model.json.
#ifndef LOCKSTEP_MODELS_MODEL_DIRECTORY_H_
#define LOCKSTEP_MODELS_MODEL_DIRECTORY_H_

#include <optional>
#include <string>

#include "engine/plan/variables.h"
#include "models/model_card.h"
#include "models/model_file.h"

namespace lockstep {

inline constexpr const char* kModelFile = "model.npz";
inline constexpr const char* kModelCardFile = "model.json";

// Writes model.npz, and model.json with the hash of the weights in it; each whole or not at all.
// Both are on the disk before the first gets its name, so that hardly anything can come between the
// two.
void SaveModelDirectory(const std::string& directory, ModelCard card, const Variables& variables);

struct FoundModel {
  ModelSpec spec;
  InputTransform input;
  std::string weights;            // path of the npz file
  std::optional<ModelCard> card;  // none: the spec follows from the arrays
  std::string warning;            // why model.json is not used, or ""
};

// The model in a directory, or in the npz file `path` names: by model.json where there is one, else
// by the arrays, so that a bare model.npz of Chainer's opens too, as does one beside the model.json
// of another network. IoError (66) naming the model file that is not there;
// FormatError where the arrays are of no known network. Reads headers only.
FoundModel FindModelDirectory(const std::string& path);

// Loads the weights of a found model, strictly. Returns a warning when they are not those that
// model.json was written for, else "".
std::string LoadFoundModel(const FoundModel& found, Variables& variables);

}  // namespace lockstep

#endif  // LOCKSTEP_MODELS_MODEL_DIRECTORY_H_
