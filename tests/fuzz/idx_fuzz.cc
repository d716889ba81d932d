#include <libdeflate.h>

#include "data/deflate.h"
#include "data/idx.h"
#include "kernels/error.h"
#include "tests/fuzz/fuzz_target.h"

namespace lockstep {

std::vector<std::vector<uint8_t>> FuzzSeeds() {
  std::vector<uint8_t> images = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4};
  images.resize(images.size() + 24, 9);
  const std::vector<uint8_t> floats = {0, 0, 13, 1, 0, 0, 0, 1, 63, 192, 0, 0};
  std::vector<uint8_t> gzipped(200);
  libdeflate_compressor* compressor = libdeflate_alloc_compressor(6);
  gzipped.resize(libdeflate_gzip_compress(compressor, images.data(), images.size(), gzipped.data(),
                                          gzipped.size()));
  libdeflate_free_compressor(compressor);
  return {images, floats, gzipped};
}

}  // namespace lockstep

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const bool gzipped = size > 0 && data[0] == 0x1F;
    const lockstep::Bytes bytes = gzipped ? lockstep::Gunzip({data, size}, 1 << 20, "fuzz.gz")
                                          : lockstep::Bytes::Copy({data, size});
    lockstep::ParseIdx(bytes, "fuzz");
  } catch (const lockstep::FormatError&) {
  }
  return 0;
}
