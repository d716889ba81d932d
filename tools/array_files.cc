#include "tools/array_files.h"

#include <algorithm>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "data/csv.h"
#include "data/input_file.h"
#include "data/npy.h"
#include "data/npz.h"
#include "engine/train/publish.h"
#include "kernels/error.h"
#include "tools/text.h"

namespace lockstep::tools {
namespace {

std::string Ending(const std::string& path) { return std::filesystem::path(path).extension(); }

[[noreturn]] void RefuseEnding(const std::string& what) {
  throw ConfigError(what + ": wants a name that ends in .npy, .npz or .csv");
}

// All of a file, unless its beginning shows already that it cannot be parsed: files without an end
// of use (sparse ones, disk images) are large.
template <typename Parse>
Tensor ReadChecked(const std::string& path, bool (*plausible)(const Bytes&), Parse parse) {
  const InputFile file = InputFile::Open(path);
  const Bytes start = file.Read(0, std::min<uint64_t>(file.size(), 4096));
  return parse(plausible(start) ? file.ReadAll() : start);
}

bool IsNpy(const Bytes& start) {
  constexpr std::string_view kMagic = "\x93NUMPY";
  const auto bytes = start.span();
  return bytes.size() >= kMagic.size() &&
         std::equal(kMagic.begin(), kMagic.end(), bytes.begin(),
                    [](char a, uint8_t b) { return static_cast<uint8_t>(a) == b; });
}

bool IsText(const Bytes& start) {
  const auto bytes = start.span();
  return std::find(bytes.begin(), bytes.end(), uint8_t{0}) == bytes.end();
}

}  // namespace

Tensor ReadArray(const std::string& path, const std::string& key) {
  const std::string ending = Ending(path);
  if (ending == ".npy") {
    return ReadChecked(path, IsNpy, [&](const Bytes& bytes) { return ParseNpy(bytes, path); });
  }
  if (ending == ".npz") {
    const NpzReader reader(path);
    if (reader.names().size() == 1) return reader.Read(reader.names().front());
    reader.Require(key, "name the samples with --data-key");
    return reader.Read(key);
  }
  if (ending != ".csv") RefuseEnding(Quote(path));
  return ReadChecked(path, IsText, [&](const Bytes& bytes) {
    const std::span<const uint8_t> view = bytes.span();
    return ParseCsv({reinterpret_cast<const char*>(view.data()), view.size()}, path);
  });
}

void CheckArrayName(const std::string& option, const std::string& path) {
  const std::string ending = Ending(path);
  if (ending == ".npy" || ending == ".npz" || ending == ".csv") return;
  RefuseEnding(option + " " + Quote(path));
}

void WriteArray(const std::string& path, const Tensor& tensor) {
  const std::string ending = Ending(path);
  if (ending == ".csv") return Publish(path, WriteCsv(tensor));
  std::vector<uint8_t> bytes;
  if (ending == ".npy") {
    bytes = WriteNpy(tensor);
  } else if (ending != ".npz") {
    RefuseEnding(Quote(path));
  } else {
    NpzWriter writer;
    writer.Add("data", tensor);
    bytes = writer.ToBytes();
  }
  Publish(path, std::as_bytes(std::span<const uint8_t>(bytes)));
}

}  // namespace lockstep::tools
