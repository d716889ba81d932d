#include "data/cifar.h"
#include "kernels/error.h"
#include "tests/fuzz/fuzz_target.h"

namespace lockstep {

std::vector<std::vector<uint8_t>> FuzzSeeds() {
  std::vector<uint8_t> one(3073, 200), two(2 * 3073, 9);
  one[0] = 3;
  return {one, two};
}

}  // namespace lockstep

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    lockstep::ParseCifar10(lockstep::Bytes::Copy({data, size}), "fuzz.bin");
  } catch (const lockstep::FormatError&) {
  }
  return 0;
}
