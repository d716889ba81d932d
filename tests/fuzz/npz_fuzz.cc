#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include "data/npz.h"
#include "kernels/error.h"
#include "tests/fuzz/fuzz_target.h"

namespace lockstep {
namespace {

std::map<std::string, Tensor> ReadAll(std::span<const uint8_t> bytes) {
  return NpzReader(InputFile::FromMemory(Bytes::Copy(bytes), "fuzz.npz")).ReadAll(1);
}

// What has been read must survive being written.
void CheckRoundTrip(const std::map<std::string, Tensor>& arrays) {
  NpzWriter writer({.threads = 1});
  for (const auto& [name, tensor] : arrays) writer.Add(name, tensor);
  const auto again = ReadAll(writer.ToBytes());
  if (again.size() != arrays.size()) std::abort();
  for (const auto& [name, tensor] : arrays) {
    const Tensor& other = again.at(name);
    if (other.shape() != tensor.shape() || other.dtype() != tensor.dtype() ||
        (tensor.bytes() > 0 && std::memcmp(other.data(), tensor.data(), tensor.bytes()) != 0)) {
      std::abort();
    }
  }
}

}  // namespace

std::vector<std::vector<uint8_t>> FuzzSeeds() {
  std::vector<std::vector<uint8_t>> seeds;
  for (const bool compress : {false, true}) {
    for (const bool zip64 : {false, true}) {
      NpzWriter writer({.compress = compress, .threads = 1, .force_zip64 = zip64});
      writer.Add("data", Tensor(DType::kUint8, {3, 5}));
      writer.Add("predictor/l1/W", Tensor(DType::kFloat32, {2, 2}));
      seeds.push_back(writer.ToBytes());
    }
  }
  return seeds;
}

}  // namespace lockstep

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::map<std::string, lockstep::Tensor> arrays;
  try {
    arrays = lockstep::ReadAll({data, size});
  } catch (const lockstep::FormatError&) {
    return 0;
  }
  lockstep::CheckRoundTrip(arrays);
  return 0;
}
