// The arrays of a network and its optimizer as entries of a checkpoint.
#ifndef LOCKSTEP_ENGINE_TRAIN_STATE_H_
#define LOCKSTEP_ENGINE_TRAIN_STATE_H_

#include <cstdint>
#include <string>

#include "engine/optim/updater.h"
#include "engine/plan/variables.h"
#include "engine/train/batch_source.h"
#include "engine/train/checkpoint_contents.h"
#include "engine/train/lanes.h"
#include "engine/train/network.h"

namespace lockstep {

// "variables/<name>". The tensors are the network's own memory, as are the optimizer's below: a
// checkpoint is written at once and need not hold all arrays twice.
void SaveVariables(const Variables& variables, CheckpointContents* contents);
// Throws ShapeError (76) naming the array, stored and wanted shape, and arrays of only one side.
// Each Check does all that its Restore may throw for, and changes nothing; a Restore follows it.
void CheckVariables(const CheckpointContents& contents, const Variables& variables);
void RestoreVariables(const CheckpointContents& contents, Variables* variables);

// "optimizer/<state>/<parameter>", the loss scale where there is one, and the settings, which must
// be the same on restore.
void SaveUpdater(const Updater& updater, const Variables& variables, CheckpointContents* contents);
void CheckUpdater(const CheckpointContents& contents, const Variables& variables,
                  const Updater& updater);
void RestoreUpdater(const CheckpointContents& contents, Variables& variables, Updater* updater);

// "lanes/...", of a network in the reproducible mode: lanes and their statistics must be the same.
void SaveLanes(LaneRunner* lanes, CheckpointContents* contents);
void CheckLanes(const CheckpointContents& contents, LaneRunner* lanes);
void RestoreLanes(const CheckpointContents& contents, LaneRunner* lanes);

// "network/compute_dtype": what is computed in, see NetworkOptions. Checkpoints written before
// there was mixed precision have none: there it was that of the variables.
void SaveComputeDType(const NetworkOptions& options, CheckpointContents* contents);
void CheckComputeDType(const CheckpointContents& contents, const NetworkOptions& options);

// "data/fingerprint", 16 hexadecimal digits. Checkpoints written before there were any have none,
// and are taken.
void SaveFingerprint(const BatchSource& source, CheckpointContents* contents);
void CheckFingerprint(const CheckpointContents& contents, const BatchSource& source);

// More iterations, epochs or updates than any training does; sums of two do not overflow.
inline constexpr int64_t kMostSteps = 1'000'000'000'000'000;

// Values that any training leaves, 0 to `most` and finite; FormatError (65) naming key, value and
// range for others.
int64_t IntegerIn(const CheckpointContents& contents, const std::string& key, int64_t most);
double FiniteReal(const CheckpointContents& contents, const std::string& key);

// Throws ShapeError (76) "…: checkpoint has A, this job B" unless equal.
void RequireSame(const CheckpointContents& contents, const std::string& key, int64_t wanted,
                 const std::string& what);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_STATE_H_
