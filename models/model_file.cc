#include "models/model_file.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "engine/train/publish.h"
#include "kernels/error.h"
#include "models/name_match.h"
#include "models/sha256.h"

namespace lockstep {
namespace {

constexpr const char* kHead = "predictor/";
constexpr const char* kSnapshot = "updater/model:main/";

std::vector<std::string> SortedNames(const Variables& variables) {
  std::vector<std::string> names;
  for (const auto& entry : variables.entries()) names.push_back(entry.name);
  std::sort(names.begin(), names.end());
  return names;
}

// How the names of a network become keys of a file: `head` goes away, `prefix` comes before.
struct KeyMap {
  std::string prefix;
  bool strip_head = false;

  std::string Key(const std::string& name) const {
    const bool strip = strip_head && name.starts_with(kHead);
    return prefix + (strip ? name.substr(std::strlen(kHead)) : name);
  }
};

// The way of making keys under which the file holds most of the names; the plainest of equals.
KeyMap FindKeys(const NpzReader& file, const std::vector<std::string>& names) {
  KeyMap best;
  int64_t most = -1;
  for (const std::string prefix : {"", kSnapshot, kHead, "updater/model:main/predictor/"}) {
    for (const bool strip : {false, true}) {
      const KeyMap map{prefix, strip};
      const int64_t found = std::count_if(names.begin(), names.end(), [&](const auto& name) {
        return file.Contains(map.Key(name));
      });
      if (found > most) {
        most = found;
        best = map;
      }
    }
  }
  return best;
}

std::string Join(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ", ") + part;
  return text;
}

// NumPy's rule: from the right, equal extents or 1.
bool Broadcasts(const Shape& from, const Shape& to) {
  for (int i = 0; i < from.ndim() - to.ndim(); ++i) {
    if (from[i] != 1) return false;
  }
  for (int i = 1; i <= std::min(from.ndim(), to.ndim()); ++i) {
    const int64_t extent = from[from.ndim() - i];
    if (extent != 1 && extent != to[to.ndim() - i]) return false;
  }
  return true;
}

Tensor Broadcast(const Tensor& from, const Shape& to) {
  Tensor result(from.dtype(), to);
  const size_t element = SizeOf(from.dtype());
  const auto* source = static_cast<const char*>(from.data());
  auto* target = static_cast<char*>(result.data());
  for (int64_t i = 0; i < to.size(); ++i) {
    int64_t rest = i, offset = 0, stride = 1;
    for (int axis = 1; axis <= to.ndim(); ++axis) {
      const int64_t at = rest % to[to.ndim() - axis];
      rest /= to[to.ndim() - axis];
      if (axis > from.shape().ndim()) continue;
      const int64_t extent = from.shape()[from.shape().ndim() - axis];
      if (extent > 1) offset += at * stride;
      stride *= extent;
    }
    std::memcpy(target + static_cast<size_t>(i) * element,
                source + static_cast<size_t>(offset) * element, element);
  }
  return result;
}

std::string MissingText(const NpzReader& file, const std::string& key, const Shape& wanted) {
  const std::string nearest = Join(NearestNames(key, file.names(), 3));
  return file.path() + ": '" + key + "' is not a file in the archive; the network wants it for " +
         wanted.ToString() + (nearest.empty() ? "; the archive is empty" : "; nearest: " + nearest);
}

std::string UninitialisedText(const NpzReader& file, const std::string& key) {
  return file.path() + ": " + key +
         " is not initialised (a pickled None): the network was saved before its first batch; save "
         "it after one";
}

std::string OtherShapeText(const std::string& where, const Shape& found, const Shape& wanted) {
  return where + " has shape " + found.ToString() + "; the network wants " + wanted.ToString() +
         ": another network, or other sizes, wrote this file";
}

class Loader {
 public:
  Loader(const std::string& path, Variables& variables, const LoadNpzOptions& options)
      : file_(path), variables_(variables), options_(options) {
    for (const std::string& name : SortedNames(variables)) {
      if (options.globs.empty() || MatchesAny(options.globs, name)) names_.push_back(name);
    }
    keys_ = options.prefix ? KeyMap{*options.prefix, false} : FindKeys(file_, names_);
    report_.prefix = keys_.prefix;
  }

  LoadNpzReport Load() {
    if (names_.empty() && !options_.globs.empty()) {
      throw ConfigError("no array of the network matches " + Join(options_.globs));
    }
    std::vector<std::string> wanted, keys;
    for (const std::string& name : names_) {
      if (!IsThere(name)) continue;
      wanted.push_back(name);
      keys.push_back(keys_.Key(name));
    }
    // Everything is checked before anything changes.
    std::vector<Tensor> values = file_.Read(keys, options_.threads);
    for (size_t i = 0; i < wanted.size(); ++i) values[i] = Fit(wanted[i], values[i]);
    for (size_t i = 0; i < wanted.size(); ++i) variables_.Set(wanted[i], values[i]);
    CountExtra();
    report_.loaded = std::move(wanted);
    return std::move(report_);
  }

 private:
  bool IsThere(const std::string& name) {
    const std::string key = keys_.Key(name);
    if (!file_.Contains(key)) {
      if (options_.strict) Missing(name, key);
      report_.missing.push_back(name);
      return false;
    }
    if (!file_.ReadHeader(key).is_pickled()) return true;
    if (options_.strict) {
      throw FormatError(UninitialisedText(file_, key));
    }
    report_.uninitialised.push_back(name);
    return false;
  }

  [[noreturn]] void Missing(const std::string& name, const std::string& key) const {
    throw FormatError(MissingText(file_, key, variables_.Find(name).type.shape));
  }

  Tensor Fit(const std::string& name, const Tensor& value) {
    const Variables::Entry& entry = variables_.Find(name);
    const std::string where = file_.path() + ": " + keys_.Key(name);
    if (!IsFloating(entry.type.dtype)) {
      if (IsFloating(value.dtype())) {
        throw FormatError(where + " is " + std::string(Name(value.dtype())) +
                          "; wanted a whole number");
      }
      if (value.size() == entry.type.shape.size()) return value.Reshape(entry.type.shape);
    }
    if (value.shape() == entry.type.shape) return value;
    if (!Broadcasts(value.shape(), entry.type.shape)) {
      throw ShapeError(OtherShapeText(where, value.shape(), entry.type.shape), ExitCode::kBadData);
    }
    report_.broadcast.push_back(name);
    return Broadcast(value, entry.type.shape);
  }

  void CountExtra() {
    std::vector<std::string> known;
    for (const auto& entry : variables_.entries()) known.push_back(keys_.Key(entry.name));
    std::sort(known.begin(), known.end());
    for (const std::string& key : file_.names()) {
      if (!std::binary_search(known.begin(), known.end(), key)) ++report_.extra;
    }
  }

  NpzReader file_;
  Variables& variables_;
  const LoadNpzOptions& options_;
  std::vector<std::string> names_;
  KeyMap keys_;
  LoadNpzReport report_;
};

}  // namespace

void SaveModelNpz(const Variables& variables, const std::string& path,
                  const SaveNpzOptions& options) {
  Publisher publisher(path);
  WriteModelNpz(variables, &publisher, options);
  publisher.Commit();
}

void WriteModelNpz(const Variables& variables, Publisher* publisher,
                   const SaveNpzOptions& options) {
  NpzWriter writer(options.npz);
  for (const std::string& name : SortedNames(variables)) writer.Add(name, variables.Get(name));
  writer.Write(
      [&](std::span<const uint8_t> bytes) { publisher->Write(bytes.data(), bytes.size()); });
}

std::string WhyOtherNetwork(const std::string& path, const Graph& graph) {
  const NpzReader file(path);
  std::vector<std::string> names;
  for (const Graph::Value& value : graph.values()) {
    if (value.role == Role::kParameter || value.role == Role::kState) names.push_back(value.name);
  }
  const KeyMap keys = FindKeys(file, names);
  for (const std::string& name : names) {
    const std::string key = keys.Key(name);
    const Graph::Value& value = graph.values()[static_cast<size_t>(graph.Find(name))];
    const Shape& wanted = value.type.shape;
    if (!file.Contains(key)) return MissingText(file, key, wanted);
    const NpyHeader header = file.ReadHeader(key);
    if (header.is_pickled()) return UninitialisedText(file, key);
    const bool counter = !IsFloating(value.type.dtype) && header.shape.size() == wanted.size();
    if (!(header.shape == wanted) && !counter) {
      return OtherShapeText(path + ": " + key, header.shape, wanted);
    }
  }
  return "";
}

LoadNpzReport LoadModelNpz(const std::string& path, Variables& variables,
                           const LoadNpzOptions& options) {
  return Loader(path, variables, options).Load();
}

std::string WeightsHash(const Variables& variables) {
  Sha256 hash;
  for (const std::string& name : SortedNames(variables)) {
    const Tensor value = variables.Get(name);
    const std::string head =
        name + " " + std::string(Name(value.dtype())) + " " + value.shape().ToString() + "\n";
    hash.Update(head.data(), head.size());
    hash.Update(value.data(), value.bytes());
  }
  return hash.Finish();
}

}  // namespace lockstep
