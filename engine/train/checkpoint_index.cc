#include "engine/train/checkpoint_index.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>

#include "engine/train/checkpoint_file.h"
#include "engine/train/posix_file.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kStem = "checkpoint_";
constexpr std::string_view kSuffix = ".lsc";
constexpr size_t kMostManifestBytes = size_t{64} << 20;
// Names the tag has in a file. No name of the network's or the trainer's begins so.
constexpr const char* kIteration = "checkpoint/iteration";
constexpr const char* kWorldSize = "checkpoint/world_size";
constexpr const char* kConfigHash = "checkpoint/config_hash";
constexpr const char* kBuildId = "checkpoint/build_id";
constexpr const char* kPinned = "checkpoint/pinned";

struct FileName {
  int64_t iteration = 0;
  int64_t n = 0;  // the how-manieth file of that iteration
  std::string name;
};

std::optional<FileName> ParseFileName(const std::string& name) {
  std::string_view text = name;
  if (!text.starts_with(kStem) || !text.ends_with(kSuffix)) return std::nullopt;
  text.remove_prefix(kStem.size());
  text.remove_suffix(std::min(kSuffix.size(), text.size()));
  FileName parsed{.name = name};
  const char* const end = text.data() + text.size();
  auto [rest, error] = std::from_chars(text.data(), end, parsed.iteration);
  if (error != std::errc() || parsed.iteration < 0) return std::nullopt;
  if (rest == end) return parsed;
  if (*rest != '-') return std::nullopt;
  const auto [tail, tail_error] = std::from_chars(rest + 1, end, parsed.n);
  if (tail_error != std::errc() || tail != end || parsed.n < 2) return std::nullopt;
  return parsed;
}

std::vector<FileName> ListFiles(const std::string& directory) {
  std::vector<FileName> files;
  std::error_code error;
  fs::directory_iterator entries(directory, error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    std::optional<FileName> file = ParseFileName(entries->path().filename().string());
    if (file) files.push_back(std::move(*file));
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    ThrowReadError("cannot read the checkpoint directory", directory, error.value());
  }
  std::sort(files.begin(), files.end(), [](const FileName& a, const FileName& b) {
    return std::tie(a.iteration, a.n) < std::tie(b.iteration, b.n);
  });
  return files;
}

// Moves the tag out of the values; what is not there stays as it is.
void TakeTag(std::map<std::string, CheckpointValue>* values, CheckpointTag* tag) {
  const auto take = [values](const char* name, auto* to) {
    using T = std::remove_pointer_t<decltype(to)>;
    const auto node = values->extract(name);
    if (node.empty()) return;
    if (const T* value = std::get_if<T>(&node.mapped())) *to = *value;
  };
  int64_t pinned = tag->pinned ? 1 : 0;
  take(kIteration, &tag->iteration);
  take(kWorldSize, &tag->world_size);
  take(kConfigHash, &tag->config_hash);
  take(kBuildId, &tag->build_id);
  take(kPinned, &pinned);
  tag->pinned = pinned != 0;
}

ManifestEntry EntryOf(const FileName& file, const std::string& directory) {
  CheckpointTable table = ReadCheckpointTable(directory + "/" + file.name);
  ManifestEntry entry{{}, file.name, table.file_bytes, table.crc32c};
  TakeTag(&table.values, &entry.tag);
  entry.tag.iteration = file.iteration;
  return entry;
}

// Reads the headers of `files`; of two of the same iteration the later saved one counts.
std::vector<ManifestEntry> ReadEntries(const std::vector<FileName>& files,
                                       const std::string& directory,
                                       std::vector<std::string>* problems) {
  std::vector<ManifestEntry> entries;
  for (const FileName& file : files) {
    try {
      ManifestEntry entry = EntryOf(file, directory);
      if (!entries.empty() && entries.back().tag.iteration == entry.tag.iteration) {
        entries.pop_back();
      }
      entries.push_back(std::move(entry));
    } catch (const NewerVersionError&) {
      throw;
    } catch (const FormatError& error) {
      problems->push_back(error.what());
    }
  }
  return entries;
}

// Nothing when there is no manifest or a damaged one.
std::optional<std::vector<ManifestEntry>> ReadManifest(const std::string& directory,
                                                       std::vector<std::string>* problems) {
  const std::string path = directory + "/MANIFEST";
  std::error_code error;
  if (fs::symlink_status(path, error).type() == fs::file_type::not_found) return std::nullopt;
  try {
    return ParseManifest(ReadSmallFile(path, kMostManifestBytes), path);
  } catch (const NewerVersionError&) {
    throw;
  } catch (const FormatError& error) {
    problems->push_back(error.what());
    return std::nullopt;
  }
}

LoadedCheckpoint Load(const ManifestEntry& entry, const std::string& directory) {
  LoadedCheckpoint loaded;
  loaded.tag = entry.tag;
  loaded.path = directory + "/" + entry.file;
  CheckpointTable table;
  loaded.contents = ReadCheckpoint(loaded.path, &table);
  if (table.file_bytes != entry.bytes || table.crc32c != entry.header_crc32c) {
    throw FormatError(Printable(loaded.path) + ": not the file that the manifest lists");
  }
  CheckpointTag stored = entry.tag;
  TakeTag(&loaded.contents.values, &stored);
  const auto trained = loaded.contents.values.find("trainer/iteration");
  if (trained != loaded.contents.values.end()) {
    const int64_t* iteration = std::get_if<int64_t>(&trained->second);
    if (iteration == nullptr || *iteration != stored.iteration) {
      throw FormatError(Printable(loaded.path) + ": \"" + kIteration + "\" is " +
                        std::to_string(stored.iteration) + ", but \"trainer/iteration\" is " +
                        (iteration == nullptr ? "no integer" : std::to_string(*iteration)) +
                        "; wanted the same");
    }
  }
  return loaded;
}

// Damage is a reason to look at the predecessor; want of memory or permission is not.
bool IsDamage(const Error& error) {
  return error.code() == ExitCode::kBadData || error.code() == ExitCode::kNoInput ||
         error.code() == ExitCode::kIo;
}

// The first problems in one line, which stays below the limit of a message.
std::string Join(const std::vector<std::string>& problems) {
  std::string text;
  for (size_t i = 0; i < problems.size(); ++i) {
    if (i > 0 && text.size() + problems[i].size() > 600) {
      return text + "; and " + std::to_string(problems.size() - i) + " more";
    }
    text += (i > 0 ? "; " : "") + problems[i];
  }
  return text;
}

// Takes from the back of `entries` until one loads.
std::optional<LoadedCheckpoint> LoadLast(std::vector<ManifestEntry>* entries,
                                         const std::string& directory,
                                         std::vector<std::string>* problems) {
  for (; !entries->empty(); entries->pop_back()) {
    try {
      return Load(entries->back(), directory);
    } catch (const NewerVersionError&) {
      throw;
    } catch (const Error& error) {
      if (!IsDamage(error)) throw;
      problems->push_back(error.what());
    }
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::string> CheckpointFileNames(const std::string& directory) {
  std::vector<std::string> names;
  for (FileName& file : ListFiles(directory)) names.push_back(std::move(file.name));
  return names;
}

CheckpointIndex ReadCheckpointIndex(const std::string& directory) {
  CheckpointIndex index;
  std::vector<FileName> files = ListFiles(directory);
  auto listed = ReadManifest(directory, &index.problems);
  if (!listed) {
    index.entries = ReadEntries(files, directory, &index.problems);
    return index;
  }
  std::erase_if(files, [&listed](const FileName& file) {
    return std::any_of(listed->begin(), listed->end(),
                       [&file](const ManifestEntry& entry) { return entry.file == file.name; });
  });
  index.entries = std::move(*listed);
  std::vector<std::string> ignored;  // what no manifest lists need not be whole
  index.unlisted = ReadEntries(files, directory, &ignored);
  return index;
}

std::optional<LoadedCheckpoint> LoadNewestOf(CheckpointIndex* index, const std::string& directory,
                                             const WarnFunction& warn) {
  std::optional<LoadedCheckpoint> loaded = LoadLast(&index->entries, directory, &index->problems);
  // A save cut before its manifest is the last resort when all that was reported saved is lost.
  if (!loaded && !index->problems.empty()) {
    loaded = LoadLast(&index->unlisted, directory, &index->problems);
    if (loaded) index->entries.push_back(index->unlisted.back());
  }
  if (loaded && !index->problems.empty()) {
    warn(Join(index->problems) + "; falling back to " + Printable(loaded->path) + " (iteration " +
         std::to_string(loaded->tag.iteration) + ")");
  }
  if (!loaded && !index->problems.empty()) {
    throw FormatError("no checkpoint in " + Printable(directory) +
                      " is whole: " + Join(index->problems) +
                      "; restore a copy, or empty the directory to start from nothing");
  }
  index->problems.clear();
  return loaded;
}

CheckpointContents WithTag(const CheckpointContents& contents, const CheckpointTag& tag) {
  CheckpointContents tagged = contents;
  tagged.values[kIteration] = tag.iteration;
  tagged.values[kWorldSize] = tag.world_size;
  tagged.values[kConfigHash] = tag.config_hash;
  tagged.values[kBuildId] = tag.build_id;
  tagged.values[kPinned] = int64_t{tag.pinned ? 1 : 0};
  return tagged;
}

}  // namespace lockstep
