#include "data/npy.h"
#include "kernels/error.h"
#include "tests/fuzz/fuzz_target.h"

namespace lockstep {
namespace {

std::vector<uint8_t> File(const std::string& descr, const Shape& shape, size_t bytes) {
  const std::string header = NpyHeaderText(descr, shape);
  std::vector<uint8_t> file(header.begin(), header.end());
  file.resize(file.size() + bytes, 1);
  return file;
}

}  // namespace

std::vector<std::vector<uint8_t>> FuzzSeeds() {
  return {File("<f4", {2, 3}, 24), File(">i8", Shape{}, 8),  File("<f2", {0, 4}, 0),
          File("|b1", {3}, 3),     File("<U3", Shape{}, 12), File("|O", Shape{}, 9)};
}

}  // namespace lockstep

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const lockstep::Bytes bytes = lockstep::Bytes::Copy({data, size});
  try {
    lockstep::ParseNpy(bytes, "fuzz.npy");
  } catch (const lockstep::FormatError&) {
  }
  try {
    lockstep::ParseNpyText(bytes, "fuzz.npy");
  } catch (const lockstep::FormatError&) {
  }
  return 0;
}
