// What decides a job's weights beside its data and network: kept in checkpoints, so that a job does
// not go on with other settings by mistake.
#ifndef LOCKSTEP_TOOLS_RECIPE_H_
#define LOCKSTEP_TOOLS_RECIPE_H_

#include <string>
#include <utility>
#include <vector>

#include "engine/train/checkpoint_contents.h"
#include "models/model.h"
#include "tools/train_options.h"

namespace lockstep::tools {

// Option (without dashes) and value, as "learning-rate" and "0.05". Only options that have an
// effect: momentum's number is none of adam's.
using Recipe = std::vector<std::pair<std::string, std::string>>;

// `model` is the network with its own units filled in.
Recipe RecipeOf(const TrainOptions& options, const ModelSpec& model);

// "recipe/<option>" in a checkpoint.
void SaveRecipe(const Recipe& recipe, CheckpointContents* contents);

// Throws ShapeError (76) naming every option that differs with both values; `path` is the
// checkpoint's. More or fewer epochs are no difference, but one the result of which is not that of
// an unbroken run is said: returns that warning, else "".
std::string RequireSameRecipe(const Recipe& recipe, const CheckpointContents& contents,
                              const std::string& path);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_RECIPE_H_
