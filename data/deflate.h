// Deflate, gzip and CRC-32 over whole buffers.
#ifndef LOCKSTEP_DATA_DEFLATE_H_
#define LOCKSTEP_DATA_DEFLATE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/bytes.h"

struct libdeflate_compressor;

namespace lockstep {

// Deflate cannot do better than 258 bytes for two bits, 1032 : 1; what claims more than this lies.
inline constexpr uint64_t kMaxDeflateRatio = 1100;

uint32_t Crc32(std::span<const uint8_t> bytes, uint32_t crc = 0);

// Inflates a raw deflate stream that fills `from` and gives exactly `to.size()` bytes; FormatError
// starting with `name` otherwise.
void Inflate(std::span<const uint8_t> from, std::span<uint8_t> to, const std::string& name);

// Inflates the beginning of a stream, of which `from` may be only a part, into `to`. Returns how
// many bytes of `to` are the stream's: where it goes on, all but the last few hundred; 0 when it is
// damaged or `from` ends too early. What comes later in the stream is not checked.
size_t InflateStart(std::span<const uint8_t> from, std::span<uint8_t> to);

// All members of a gzip file one after the other, each checked against its CRC and size. Refuses
// anything behind the last member and more than `max_size` bytes in total, before allocating them.
Bytes Gunzip(std::span<const uint8_t> from, uint64_t max_size, const std::string& name);

// As InflateStart, of what the members of a gzip file hold one after the other.
size_t GunzipStart(std::span<const uint8_t> from, std::span<uint8_t> to);

// Not for two threads at once.
class Compressor {
 public:
  explicit Compressor(int level);
  // A raw deflate stream; empty when it would not be smaller than `from`.
  std::vector<uint8_t> Deflate(std::span<const uint8_t> from);

 private:
  std::unique_ptr<libdeflate_compressor, void (*)(libdeflate_compressor*)> compressor_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_DATA_DEFLATE_H_
