// MANIFEST: which files of a checkpoint directory are complete checkpoints. Published after them.
//
//   lockstep-manifest 1
//   checkpoint iteration=100 file=checkpoint_100.lsc bytes=8192 header_crc32c=0a1b2c3d
//     world_size=1 pinned=0 config=9f3a build=0.1.0     (one line, in this order)
//   crc32c 89abcdef
// Lines end in \n; entries stand in rising order of iteration, each iteration once. Bytes of a
// value other than A-Z a-z 0-9 . _ : + - / are written %XX. The last line is the CRC-32C of all
// bytes before it; it and the first line stay the same in later versions.
#ifndef LOCKSTEP_ENGINE_TRAIN_CHECKPOINT_MANIFEST_H_
#define LOCKSTEP_ENGINE_TRAIN_CHECKPOINT_MANIFEST_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep {

// Where a saved state stands and who saved it.
struct CheckpointTag {
  int64_t iteration = 0;
  int64_t world_size = 1;
  std::string config_hash{};
  std::string build_id{};
  bool pinned = false;  // kept whatever the number of checkpoints to keep

  friend bool operator==(const CheckpointTag&, const CheckpointTag&) = default;
};

struct ManifestEntry {
  CheckpointTag tag;
  std::string file;  // a name in the directory, without slashes
  uint64_t bytes = 0;
  uint32_t header_crc32c = 0;  // CheckpointTable::crc32c

  friend bool operator==(const ManifestEntry&, const ManifestEntry&) = default;
};

std::string FormatManifest(const std::vector<ManifestEntry>& entries);
// Throws FormatError naming the line; NewerVersionError. `name` is the file's, for messages.
std::vector<ManifestEntry> ParseManifest(std::string_view text, const std::string& name);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_CHECKPOINT_MANIFEST_H_
