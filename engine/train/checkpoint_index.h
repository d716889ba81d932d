// What lies in a checkpoint directory: the manifest, or the files themselves where it is lost.
#ifndef LOCKSTEP_ENGINE_TRAIN_CHECKPOINT_INDEX_H_
#define LOCKSTEP_ENGINE_TRAIN_CHECKPOINT_INDEX_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/train/checkpoint_contents.h"
#include "engine/train/checkpoint_manifest.h"

namespace lockstep {

// Takes one line about something that was not fatal.
using WarnFunction = std::function<void(const std::string&)>;

struct LoadedCheckpoint {
  CheckpointTag tag;
  CheckpointContents contents;
  std::string path;
};

struct CheckpointIndex {
  std::vector<ManifestEntry> entries;   // complete checkpoints, in rising order of iteration
  std::vector<ManifestEntry> unlisted;  // whole ones beside a good manifest: a save that was cut
  std::vector<std::string> problems;    // one line about each damaged file, the manifest included
};

// Names of the checkpoint files in a directory by iteration, and for the same iteration in order
// of their saving.
std::vector<std::string> CheckpointFileNames(const std::string& directory);

// Empty for a directory that does not exist or holds nothing. Throws NewerVersionError, IoError.
CheckpointIndex ReadCheckpointIndex(const std::string& directory);

// The newest whole checkpoint of `index`; the contents as they were handed to Save. What was found
// damaged is taken out of `index`. See LoadNewestCheckpoint for the rules and what is thrown.
std::optional<LoadedCheckpoint> LoadNewestOf(CheckpointIndex* index, const std::string& directory,
                                             const WarnFunction& warn);

// The contents of a checkpoint file: those of the caller and the tag, so that a lost manifest can
// be made anew.
CheckpointContents WithTag(const CheckpointContents& contents, const CheckpointTag& tag);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_CHECKPOINT_INDEX_H_
