#include "data/deflate.h"

#include <libdeflate.h>

#include "data/damage.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

using Decompressor = std::unique_ptr<libdeflate_decompressor, void (*)(libdeflate_decompressor*)>;

Decompressor MakeDecompressor() {
  Decompressor decompressor(libdeflate_alloc_decompressor(), libdeflate_free_decompressor);
  if (!decompressor) throw DeviceError("no memory for a decompressor");
  return decompressor;
}

}  // namespace

uint32_t Crc32(std::span<const uint8_t> bytes, uint32_t crc) {
  return libdeflate_crc32(crc, bytes.data(), bytes.size());
}

void Inflate(std::span<const uint8_t> from, std::span<uint8_t> to, const std::string& name) {
  size_t used = 0;
  size_t produced = 0;
  const libdeflate_result result = libdeflate_deflate_decompress_ex(
      MakeDecompressor().get(), from.data(), from.size(), to.data(), to.size(), &used, &produced);
  if (result == LIBDEFLATE_INSUFFICIENT_SPACE) {
    throw DamagedFile(name + ": compressed data is damaged or cut, or holds more than the " +
                      std::to_string(to.size()) + " bytes declared");
  }
  if (result != LIBDEFLATE_SUCCESS) throw DamagedFile(name + ": compressed data is damaged");
  if (produced != to.size()) {
    throw DamagedFile(name + ": compressed data holds " + std::to_string(produced) +
                      " bytes, declared are " + std::to_string(to.size()));
  }
  if (used != from.size()) {
    throw DamagedFile(name + ": " + std::to_string(from.size() - used) +
                      " unexpected bytes behind the compressed data");
  }
}

size_t InflateStart(std::span<const uint8_t> from, std::span<uint8_t> to) {
  constexpr size_t kLongestMatch = 258;
  size_t produced = 0;
  const libdeflate_result result = libdeflate_deflate_decompress(
      MakeDecompressor().get(), from.data(), from.size(), to.data(), to.size(), &produced);
  if (result == LIBDEFLATE_SUCCESS) return produced;
  // libdeflate writes in order and gives up at the first match or byte for which there is no room.
  const bool full = result == LIBDEFLATE_INSUFFICIENT_SPACE && to.size() > kLongestMatch;
  return full ? to.size() - kLongestMatch : 0;
}

Compressor::Compressor(int level)
    : compressor_(libdeflate_alloc_compressor(level), libdeflate_free_compressor) {
  if (!compressor_) {
    if (level < 0 || level > 12) {
      throw ConfigError("compression level " + std::to_string(level) + "; 0 to 12 exist");
    }
    throw DeviceError("no memory for a compressor");
  }
}

std::vector<uint8_t> Compressor::Deflate(std::span<const uint8_t> from) {
  if (from.size() < 2) return {};
  std::vector<uint8_t> to(from.size() - 1);
  to.resize(libdeflate_deflate_compress(compressor_.get(), from.data(), from.size(), to.data(),
                                        to.size()));
  return to;
}

}  // namespace lockstep
