// A directory of checkpoints of which the newest good one is always there.
//
// Files: `checkpoint_<iteration>.lsc` (`checkpoint_<iteration>-<n>.lsc` when that name was taken),
// `MANIFEST` listing the complete ones, `LOCK`. Anything else is left alone. A save publishes the
// file, then the manifest, and only then removes what is no longer listed: at every instant the
// newest complete checkpoint and its predecessor are there. Order is by iteration, never by time.
#ifndef LOCKSTEP_ENGINE_TRAIN_CHECKPOINT_STORE_H_
#define LOCKSTEP_ENGINE_TRAIN_CHECKPOINT_STORE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/train/checkpoint_contents.h"
#include "engine/train/checkpoint_index.h"
#include "engine/train/checkpoint_manifest.h"
#include "engine/train/directory_lock.h"

namespace lockstep {

// The newest checkpoint of a directory that is whole; nothing when none was ever saved there or
// the directory does not exist. A damaged one is passed over for its predecessor, which is said
// through `warn`. Takes no lock and writes nothing. Throws FormatError (65) when checkpoints are
// there and none is good: training never starts from zero by itself; NewerVersionError (65).
std::optional<LoadedCheckpoint> LoadNewestCheckpoint(const std::string& directory,
                                                     const WarnFunction& warn);

// The writing side. One job a directory, which the lock sees to; one thread a store.
class CheckpointStore {
 public:
  struct Options {
    int keep = 2;       // checkpoints to keep besides pinned ones; 0 keeps all. With 1 there is
                        // nothing to fall back to.
    WarnFunction warn;  // required
  };

  // Makes the directory, proves it writable, locks it and sweeps temporaries of dead writers.
  // Throws IoError 73 or 77.
  CheckpointStore(const std::string& directory, Options options);

  // LoadNewestCheckpoint of this directory; what was damaged is not counted as kept from here on.
  std::optional<LoadedCheckpoint> LoadNewest();

  // Saves a state; durable when it returns. Checkpoints of the same or a later iteration leave the
  // manifest: the state saved last is the newest. Throws IoError (74 disk full and the like); the
  // checkpoints that were there are then still there.
  void Save(const CheckpointContents& contents, const CheckpointTag& tag);

  // What is listed, in rising order of iteration.
  const std::vector<ManifestEntry>& entries() const { return entries_; }
  const std::string& directory() const { return directory_; }

 private:
  void RestoreDirectory();
  std::vector<ManifestEntry> EntriesBefore(int64_t iteration) const;
  std::string FreeName(int64_t iteration) const;
  void RemoveUnlisted() const;

  std::string directory_;
  Options options_;
  std::optional<DirectoryLock> lock_;
  std::vector<ManifestEntry> entries_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_CHECKPOINT_STORE_H_
