#include "tools/array_files.h"

#include <filesystem>
#include <span>
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

[[noreturn]] void RefuseEnding(const std::string& path) {
  throw ConfigError(Quote(path) + ": wants a name that ends in .npy, .npz or .csv");
}

}  // namespace

Tensor ReadArray(const std::string& path, const std::string& key) {
  const std::string ending = Ending(path);
  if (ending == ".npy") return ParseNpy(InputFile::Open(path).ReadAll(), path);
  if (ending == ".npz") {
    const NpzReader reader(path);
    return reader.Read(reader.names().size() == 1 ? reader.names().front() : key);
  }
  if (ending != ".csv") RefuseEnding(path);
  const Bytes bytes = InputFile::Open(path).ReadAll();
  const std::span<const uint8_t> view = bytes.span();
  return ParseCsv({reinterpret_cast<const char*>(view.data()), view.size()}, path);
}

void CheckArrayName(const std::string& path) {
  const std::string ending = Ending(path);
  if (ending != ".npy" && ending != ".npz" && ending != ".csv") RefuseEnding(path);
}

void WriteArray(const std::string& path, const Tensor& tensor) {
  CheckArrayName(path);
  const std::string ending = Ending(path);
  if (ending == ".csv") return Publish(path, WriteCsv(tensor));
  std::vector<uint8_t> bytes;
  if (ending == ".npy") {
    bytes = WriteNpy(tensor);
  } else {
    NpzWriter writer;
    writer.Add("data", tensor);
    bytes = writer.ToBytes();
  }
  Publish(path, std::as_bytes(std::span<const uint8_t>(bytes)));
}

}  // namespace lockstep::tools
