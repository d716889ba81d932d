#include "data/channel_files.h"

#include <algorithm>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <system_error>

#include "data/bytes.h"
#include "data/input_file.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;
using Kind = ChannelFile::Kind;

constexpr size_t kNamesShown = 10;
constexpr int kCifarBatches = 5;  // data_batch_1.bin to data_batch_5.bin

bool Contains(const std::string& text, std::string_view part) {
  return text.find(part) != text.npos;
}

bool IsOneOf(std::string_view word, std::initializer_list<std::string_view> list) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

// The words of a name in lower case. They end where letters and digits do, before a capital
// after a small letter and before digits at the end, so that "latest" holds no "test".
std::vector<std::string> WordsOf(const std::string& name) {
  std::vector<std::string> words(1);
  bool small = false;
  for (const char c : name) {
    const bool capital = c >= 'A' && c <= 'Z';
    const bool letter = capital || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (!letter || (capital && small)) words.emplace_back();
    if (letter) words.back() += static_cast<char>(capital ? c - 'A' + 'a' : c);
    small = letter && !capital;
  }
  for (std::string& word : words) {
    while (!word.empty() && word.back() >= '0' && word.back() <= '9') word.pop_back();
  }
  return words;
}

// "train", "test", "validation" or, when the name does not say, nothing.
std::string SplitOf(const std::string& name) {
  if (name.starts_with("data_batch")) return "train";
  for (const std::string& word : WordsOf(name)) {
    if (IsOneOf(word, {"train", "training", "trainset", "traindata"})) return "train";
    if (IsOneOf(word, {"test", "testing", "testset", "testdata", "t10k"})) return "test";
    if (IsOneOf(word, {"val", "valid", "validation", "eval", "evaluation"})) return "validation";
  }
  return "";
}

std::optional<Kind> KindOf(const std::string& name) {
  if (name.ends_with(".npz")) return Kind::kNpz;
  if (Contains(name, "images-idx3") || Contains(name, "images.idx3")) return Kind::kIdxPair;
  const bool cifar = name.starts_with("data_batch") || name.starts_with("test_batch");
  return cifar && name.ends_with(".bin") ? std::optional(Kind::kCifar) : std::nullopt;
}

bool Exists(const fs::path& path) {
  std::error_code error;
  const bool exists = fs::exists(path, error);
  if (error != std::errc::permission_denied) return exists;
  throw IoError("cannot look for " + Printable(path.string(), 400) + ": " + error.message() +
                    OpenAdvice(error.value()),
                ExitCode::kNoPermission);
}

// The labels' file beside a file of pictures; either may be gzipped.
std::string LabelsPathFor(const fs::path& images) {
  std::string name = images.filename().string();
  const size_t at = std::min(name.rfind("images-idx3"), name.rfind("images.idx3"));
  name.replace(at, 11, std::string("labels") + name[at + 6] + "idx1");
  const std::string plain = name.ends_with(".gz") ? name.substr(0, name.size() - 3) : name;
  for (const std::string& candidate : {name, plain, plain + ".gz"}) {
    if (Exists(images.parent_path() / candidate)) {
      return (images.parent_path() / candidate).string();
    }
  }
  throw IoError(Printable(images.string(), 400) + " has no labels: " + Printable(name, 300) +
                    " is not beside it; put it there",
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
    throw IoError("cannot read the channel " + Printable(directory, 400) + ": " + error.message() +
                      OpenAdvice(error.value()),
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

// A model of ours that was written into the channel is no data.
void DropModel(std::vector<std::string>* names) {
  const auto has = [&](const char* name) {
    return std::find(names->begin(), names->end(), name) != names->end();
  };
  if (has("model.npz") && has("model.json")) std::erase(*names, "model.npz");
}

// Names of the first kind that is there.
std::vector<std::string> NamesOfOneKind(const std::vector<std::string>& names) {
  for (const Kind kind : {Kind::kNpz, Kind::kIdxPair, Kind::kCifar}) {
    std::vector<std::string> found;
    for (const std::string& name : names) {
      if (name.starts_with(".") || KindOf(name) != kind) continue;  // "._x.npz" is no npz
      // A gzipped file beside its plain one is the same data again.
      if (name.ends_with(".gz") && !found.empty() && found.back() + ".gz" == name) continue;
      found.push_back(name);
    }
    if (!found.empty()) return found;
  }
  return {};
}

// All names, unless they tell two splits apart: then those of the one that is wanted.
std::vector<std::string> NamesOfSplit(const std::vector<std::string>& names,
                                      const std::string& directory, const ChannelOptions& options) {
  const auto with = [&](const std::string& wanted) {
    std::vector<std::string> found;
    std::copy_if(names.begin(), names.end(), std::back_inserter(found),
                 [&](const std::string& name) { return SplitOf(name) == wanted; });
    return found;
  };
  const std::vector<std::string> train = with("train"), test = with("test");
  const std::vector<std::string> held_out = test.empty() ? with("validation") : test;
  if (train.empty() || held_out.empty()) return names;
  if (options.split.empty()) {
    throw ConfigError("the channel " + Printable(directory, 400) +
                      " holds both training and test data (" + NamesText(names) +
                      "); choose the split train or test, or one file");
  }
  if (const std::vector<std::string> neither = with(""); options.warn && !neither.empty()) {
    options.warn("left out of " + Printable(directory, 400) + ", as its other files are named " +
                 "after the splits train and test: " + NamesText(neither));
  }
  return options.split == "train" ? train : held_out;
}

// Some of the five training batches of CIFAR-10 without the others may be a download cut short.
void WarnOfMissingBatches(const std::vector<std::string>& names, const std::string& directory,
                          const ChannelOptions& options) {
  std::vector<std::string> missing;
  for (int i = 1; i <= kCifarBatches; ++i) {
    const std::string name = "data_batch_" + std::to_string(i) + ".bin";
    if (std::find(names.begin(), names.end(), name) == names.end()) missing.push_back(name);
  }
  if (!options.warn || missing.empty() || missing.size() == kCifarBatches) return;
  options.warn(Printable(directory, 400) + " holds only a part of CIFAR-10's training data: " +
               NamesText(missing) + (missing.size() == 1 ? " is" : " are") + " missing");
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
  std::vector<std::string> candidates = all;
  DropModel(&candidates);
  const std::vector<std::string> names = NamesOfSplit(NamesOfOneKind(candidates), path, options);
  if (names.empty()) {
    throw IoError(
        "the channel " + Printable(path, 400) + " holds no data: found " + NamesText(all) +
            (candidates.size() < all.size() ? " (model.npz is a model, not samples)" : "") +
            "; wanted *.npz, *images-idx3-ubyte[.gz] with labels, or CIFAR-10 "
            "data_batch_*.bin",
        ExitCode::kNoInput);
  }
  WarnOfMissingBatches(names, path, options);
  std::vector<ChannelFile> files;
  files.reserve(names.size());
  for (const std::string& name : names) {
    files.push_back(MakeFile(*KindOf(name), fs::path(path) / name));
  }
  return files;
}

}  // namespace lockstep
