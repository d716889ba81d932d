#include "data/channel_files.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>

#include "data/bytes.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;
using Kind = ChannelFile::Kind;

constexpr size_t kNamesShown = 10;

bool Contains(const std::string& text, std::string_view part) {
  return text.find(part) != text.npos;
}

// "train", "test" or, when the name does not say, nothing.
std::string SplitOf(const std::string& name) {
  if (Contains(name, "train") || Contains(name, "data_batch")) return "train";
  return Contains(name, "test") || Contains(name, "t10k") ? "test" : "";
}

std::optional<Kind> KindOf(const std::string& name) {
  if (name.ends_with(".npz")) return Kind::kNpz;
  if (Contains(name, "images-idx3") || Contains(name, "images.idx3")) return Kind::kIdxPair;
  const bool cifar = name.starts_with("data_batch") || name.starts_with("test_batch");
  return cifar && name.ends_with(".bin") ? std::optional(Kind::kCifar) : std::nullopt;
}

// The labels' file beside a file of pictures; either may be gzipped.
std::string LabelsPathFor(const fs::path& images) {
  std::string name = images.filename().string();
  const size_t at = name.rfind("images");
  name.replace(at, 11, std::string("labels") + name[at + 6] + "idx1");
  const std::string plain = name.ends_with(".gz") ? name.substr(0, name.size() - 3) : name;
  for (const std::string& candidate : {name, plain, plain + ".gz"}) {
    if (fs::exists(images.parent_path() / candidate)) {
      return (images.parent_path() / candidate).string();
    }
  }
  throw IoError(images.string() + " has no labels: " + name + " is not beside it",
                ExitCode::kNoInput);
}

ChannelFile MakeFile(Kind kind, const fs::path& path) {
  return {kind, path.string(), kind == Kind::kIdxPair ? LabelsPathFor(path) : ""};
}

// The kind of one file that was asked for by name: of an unusual name an npz or a CIFAR batch.
ChannelFile MakeNamedFile(const fs::path& path) {
  const std::string name = path.filename().string();
  const Kind unusual = name.ends_with(".bin") ? Kind::kCifar : Kind::kNpz;
  return MakeFile(KindOf(name).value_or(unusual), path);
}

void CheckInside(const std::string& file) {
  const fs::path path(file);
  const bool climbs = std::find(path.begin(), path.end(), "..") != path.end();
  if (!path.is_absolute() && !climbs && file.find('\0') == file.npos) return;
  throw ConfigError("training data file '" + Printable(file) +
                    "' lies outside the channel; give a name relative to its directory");
}

std::vector<std::string> ListNames(const std::string& directory) {
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  if (error) {
    const bool denied = error == std::errc::permission_denied;
    throw IoError("cannot read the channel " + Printable(directory, 400) + ": " + error.message(),
                  denied ? ExitCode::kNoPermission : ExitCode::kNoInput);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string NamesText(const std::vector<std::string>& names) {
  if (names.empty()) return "nothing";
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kNamesShown); ++i) {
    text += (i > 0 ? ", " : "") + Printable(names[i], 40);
  }
  if (names.size() <= kNamesShown) return text;
  return text + " and " + std::to_string(names.size() - kNamesShown) + " more";
}

// Names of the first kind that is there.
std::vector<std::string> NamesOfOneKind(const std::vector<std::string>& names) {
  for (const Kind kind : {Kind::kNpz, Kind::kIdxPair, Kind::kCifar}) {
    std::vector<std::string> found;
    for (const std::string& name : names) {
      if (KindOf(name) != kind) continue;
      // A gzipped file beside its plain one is the same data again.
      if (name.ends_with(".gz") && !found.empty() && found.back() + ".gz" == name) continue;
      found.push_back(name);
    }
    if (!found.empty()) return found;
  }
  return {};
}

std::vector<std::string> NamesOfSplit(const std::vector<std::string>& names,
                                      const std::string& split, const std::string& directory) {
  const auto with = [&](const std::string& wanted) {
    std::vector<std::string> found;
    std::copy_if(names.begin(), names.end(), std::back_inserter(found),
                 [&](const std::string& name) { return SplitOf(name) == wanted; });
    return found;
  };
  if (split.empty()) {
    if (!with("train").empty() && !with("test").empty()) {
      throw ConfigError("the channel " + directory + " holds both training and test data (" +
                        NamesText(names) + "); choose the split train or test, or one file");
    }
    return names;
  }
  const std::vector<std::string> found = with(split);
  return found.empty() ? with("") : found;
}

}  // namespace

std::vector<ChannelFile> FindChannelFiles(const std::string& path, const ChannelOptions& options) {
  if (!options.split.empty() && options.split != "train" && options.split != "test") {
    throw ConfigError("split '" + Printable(options.split) + "' is unknown; wanted train or test");
  }
  if (!options.file.empty()) {
    CheckInside(options.file);
    return {MakeNamedFile(fs::path(path) / options.file)};
  }
  std::error_code ignored;
  if (fs::is_regular_file(path, ignored)) return {MakeNamedFile(path)};

  const std::vector<std::string> all = ListNames(path);
  const std::vector<std::string> names = NamesOfSplit(NamesOfOneKind(all), options.split, path);
  if (names.empty()) {
    throw IoError("the channel " + Printable(path, 400) + " holds no " +
                      (options.split.empty() ? "" : options.split + " ") + "data: found " +
                      NamesText(all) +
                      "; wanted *.npz, *images-idx3-ubyte[.gz] with labels, or CIFAR-10 "
                      "data_batch_*.bin",
                  ExitCode::kNoInput);
  }
  std::vector<ChannelFile> files;
  files.reserve(names.size());
  for (const std::string& name : names) {
    files.push_back(MakeFile(*KindOf(name), fs::path(path) / name));
  }
  return files;
}

}  // namespace lockstep
