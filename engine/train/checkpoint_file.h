// One checkpoint in one file; the format is described in checkpoint_table.h.
#ifndef LOCKSTEP_ENGINE_TRAIN_CHECKPOINT_FILE_H_
#define LOCKSTEP_ENGINE_TRAIN_CHECKPOINT_FILE_H_

#include <cstddef>
#include <span>
#include <string>

#include "engine/train/checkpoint_contents.h"
#include "engine/train/checkpoint_table.h"

namespace lockstep {

// Publishes the contents under `path`; the arrays are written from where they lie. Durable when it
// returns. Throws what Publisher throws. Returns what was written.
CheckpointTable WriteCheckpoint(const std::string& path, const CheckpointContents& contents);

// The same as bytes in memory.
std::string SerializeCheckpoint(const CheckpointContents& contents);
// Reads and verifies a file; the arrays own their memory. Throws FormatError (65) naming the byte
// or the array that is damaged, NewerVersionError (65), IoError (66 missing, 74 unreadable).
// `table`, where given, receives the header, whose `values` are then in the contents.
CheckpointContents ReadCheckpoint(const std::string& path, CheckpointTable* table = nullptr);
// The header alone, verified; the arrays' elements are neither read nor checked.
CheckpointTable ReadCheckpointTable(const std::string& path);

// ReadCheckpoint for bytes in memory; `name` is for messages.
CheckpointContents ParseCheckpoint(std::span<const std::byte> data, const std::string& name);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_CHECKPOINT_FILE_H_
