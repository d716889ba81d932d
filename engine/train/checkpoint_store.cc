#include "engine/train/checkpoint_store.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "engine/train/checkpoint_file.h"
#include "engine/train/posix_file.h"
#include "engine/train/publish.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

bool Exists(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) == 0) return true;
  if (errno != ENOENT) ThrowWriteError("cannot look at", path, errno);
  return false;
}

// All pinned ones and the `keep` newest of the others.
std::vector<ManifestEntry> Newest(std::vector<ManifestEntry> entries, int keep) {
  if (keep == 0) return entries;
  auto excess = std::count_if(entries.begin(), entries.end(),
                              [](const ManifestEntry& entry) { return !entry.tag.pinned; }) -
                keep;
  std::erase_if(
      entries, [&excess](const ManifestEntry& entry) { return !entry.tag.pinned && excess-- > 0; });
  return entries;
}

// Whether the manifest on the disk surely does not list `file`. A failed publish may have come that
// far, and one that cannot be read now can be later.
bool IsUnlisted(const std::string& path, const std::string& file) noexcept {
  try {
    if (!Exists(path)) return true;
    const auto entries = ParseManifest(ReadSmallFile(path, size_t{64} << 20), path);
    return std::none_of(entries.begin(), entries.end(),
                        [&file](const ManifestEntry& entry) { return entry.file == file; });
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace

std::optional<LoadedCheckpoint> LoadNewestCheckpoint(const std::string& directory,
                                                     const WarnFunction& warn) {
  CheckpointIndex index = ReadCheckpointIndex(directory);
  return LoadNewestOf(&index, directory, warn);
}

CheckpointStore::CheckpointStore(const std::string& directory, Options options)
    : directory_(directory), options_(std::move(options)) {
  if (options_.keep < 0) {
    throw ConfigError("checkpoints to keep: " + std::to_string(options_.keep) +
                      "; 0 (all) or more is wanted");
  }
  CheckWritableDirectory(directory_);
  lock_.emplace(directory_, options_.warn);
  SweepTemporaries(directory_);
  entries_ = ReadCheckpointIndex(directory_).entries;
}

std::optional<LoadedCheckpoint> CheckpointStore::LoadNewest() {
  CheckpointIndex index = ReadCheckpointIndex(directory_);
  std::optional<LoadedCheckpoint> loaded = LoadNewestOf(&index, directory_, options_.warn);
  entries_ = std::move(index.entries);
  return loaded;
}

void CheckpointStore::Save(const CheckpointContents& contents, const CheckpointTag& tag) {
  if (tag.iteration < 0) throw Error(ExitCode::kBug, "a checkpoint of a negative iteration");
  RestoreDirectory();
  std::vector<ManifestEntry> entries = EntriesBefore(tag.iteration);
  const std::string file = FreeName(tag.iteration);
  const CheckpointTable written = WriteCheckpoint(directory_ + "/" + file, WithTag(contents, tag));
  entries.push_back({tag, file, written.file_bytes, written.crc32c});
  entries = Newest(std::move(entries), options_.keep);
  const std::string manifest = directory_ + "/MANIFEST";
  try {
    Publish(manifest, FormatManifest(entries));
  } catch (...) {
    // Not saved: give the space back, unless the manifest may have got in place after all.
    if (IsUnlisted(manifest, file)) ::unlink((directory_ + "/" + file).c_str());
    throw;
  }
  entries_ = std::move(entries);
  RemoveUnlisted();
}

void CheckpointStore::RestoreDirectory() {
  if (Exists(directory_)) return;
  options_.warn("the checkpoint directory " + Printable(directory_) + " is gone; making it again");
  CheckWritableDirectory(directory_);
  lock_.emplace(directory_, options_.warn);
}

std::vector<ManifestEntry> CheckpointStore::EntriesBefore(int64_t iteration) const {
  std::vector<ManifestEntry> before;
  for (const ManifestEntry& entry : entries_) {
    if (!Exists(directory_ + "/" + entry.file)) {
      options_.warn(Printable(entry.file) + " is gone from " + Printable(directory_) +
                    "; the list of checkpoints goes on without it");
    } else if (entry.tag.iteration < iteration) {
      before.push_back(entry);
    } else if (entry.tag.iteration > iteration) {
      options_.warn(Printable(entry.file) + " is ahead of the state being saved (iteration " +
                    std::to_string(iteration) + ") and gives way to it");
    }
  }
  return before;
}

std::string CheckpointStore::FreeName(int64_t iteration) const {
  const std::string stem = "checkpoint_" + std::to_string(iteration);
  std::string name = stem + ".lsc";
  for (int n = 2; Exists(directory_ + "/" + name); ++n) {
    name = stem + "-" + std::to_string(n) + ".lsc";
  }
  return name;
}

void CheckpointStore::RemoveUnlisted() const {
  for (const std::string& name : CheckpointFileNames(directory_)) {
    const bool listed =
        std::any_of(entries_.begin(), entries_.end(),
                    [&name](const ManifestEntry& entry) { return entry.file == name; });
    if (listed || ::unlink((directory_ + "/" + name).c_str()) == 0 || errno == ENOENT) continue;
    options_.warn("cannot remove " + Printable(name) + " from " + Printable(directory_) + ": " +
                  std::strerror(errno));
  }
}

}  // namespace lockstep
