// gzip (RFC 1952) files whose members were written by any program:
//   byte 0  1F 8B, u8 method (8), u8 flags, u32 time, u8, u8, optional fields by flag
//   then    a deflate stream, u32 CRC-32 and u32 size (modulo 2^32) of what it holds
#include <libdeflate.h>

#include <algorithm>
#include <cstring>

#include "data/bounded_reader.h"
#include "data/damage.h"
#include "data/deflate.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

constexpr size_t kSmallestMember = 20;  // ten of header, two of data, eight of trailer

using Decompressor = std::unique_ptr<libdeflate_decompressor, void (*)(libdeflate_decompressor*)>;

Decompressor MakeDecompressor() {
  Decompressor made(libdeflate_alloc_decompressor(), libdeflate_free_decompressor);
  if (!made) throw DeviceError("no memory for a decompressor");
  return made;
}

class Gunzipper {
 public:
  Gunzipper(std::span<const uint8_t> from, uint64_t max_size, const std::string& name)
      : from_(from),
        // No stream holds more than the ratio allows, whatever is asked for.
        limit_(std::min<uint64_t>(max_size, from.size() * kMaxDeflateRatio)),
        name_(name),
        decompressor_(MakeDecompressor()) {}

  Bytes Run() {
    Reserve(std::min<uint64_t>(LastMemberSize(), limit_));
    do {
      Member();
    } while (position_ < from_.size());
    to_.Shrink(size_);
    return to_;
  }

 private:
  [[noreturn]] void Fail(const std::string& message) const {
    throw DamagedFile(name_ + ": " + message + ", in the gzip member at byte " +
                      std::to_string(position_));
  }

  // The size in the file's last four bytes: of the whole in nearly every file.
  uint64_t LastMemberSize() {
    if (from_.size() < kSmallestMember) Fail("too short for a gzip file");
    BoundedReader trailer(from_.subspan(from_.size() - 4), name_, from_.size() - 4);
    return trailer.Little<uint32_t>("size");
  }

  void Reserve(uint64_t capacity) {
    Bytes larger(static_cast<size_t>(std::max<uint64_t>(capacity, 1)));
    if (size_ > 0) std::memcpy(larger.data(), to_.data(), size_);
    to_ = std::move(larger);
  }

  // One member, into ever more room while it says it needs it.
  void Member() {
    const std::span<const uint8_t> rest = from_.subspan(position_);
    if (rest.size() < 2 || rest[0] != 0x1F || rest[1] != 0x8B) Fail("no gzip magic");
    for (;;) {
      size_t used = 0;
      size_t produced = 0;
      const libdeflate_result result =
          libdeflate_gzip_decompress_ex(decompressor_.get(), rest.data(), rest.size(),
                                        to_.data() + size_, to_.size() - size_, &used, &produced);
      if (result == LIBDEFLATE_SUCCESS) {
        position_ += used;
        size_ += produced;
        return;
      }
      if (result != LIBDEFLATE_INSUFFICIENT_SPACE) {
        Fail("compressed data is damaged or ends early");
      }
      if (to_.size() >= limit_) {
        Fail("holds more than the " + std::to_string(limit_) + " bytes that can be right");
      }
      Reserve(std::min<uint64_t>(limit_, std::max<uint64_t>(to_.size() * 2, 1 << 16)));
    }
  }

  std::span<const uint8_t> from_;
  uint64_t limit_;
  std::string name_;
  Decompressor decompressor_;
  Bytes to_;
  size_t size_ = 0;
  size_t position_ = 0;
};

// Where the deflate stream of the first member begins; the end of the file when it has none.
size_t StreamBegin(std::span<const uint8_t> from) {
  constexpr uint8_t kHasSum = 2, kHasExtra = 4, kHasName = 8, kHasComment = 16;
  if (from.size() < kSmallestMember) return from.size();
  const uint8_t flags = from[3];
  size_t begin = 10;
  if ((flags & kHasExtra) != 0) begin += size_t{2} + from[10] + size_t{256} * from[11];
  for (const uint8_t text : {kHasName, kHasComment}) {
    if ((flags & text) == 0) continue;
    while (begin < from.size() && from[begin] != 0) ++begin;
    ++begin;
  }
  if ((flags & kHasSum) != 0) begin += 2;
  return std::min(begin, from.size());
}

}  // namespace

size_t GunzipStart(std::span<const uint8_t> from, std::span<uint8_t> to) {
  const Decompressor decompressor = MakeDecompressor();
  size_t filled = 0;
  while (!from.empty() && filled < to.size()) {
    size_t used = 0, produced = 0;
    const libdeflate_result result =
        libdeflate_gzip_decompress_ex(decompressor.get(), from.data(), from.size(),
                                      to.data() + filled, to.size() - filled, &used, &produced);
    if (result != LIBDEFLATE_SUCCESS) {  // it holds more than there is room for, or is damaged
      return filled + InflateStart(from.subspan(StreamBegin(from)), to.subspan(filled));
    }
    from = from.subspan(used);
    filled += produced;
  }
  return filled;
}

Bytes Gunzip(std::span<const uint8_t> from, uint64_t max_size, const std::string& name) {
  return Gunzipper(from, max_size, name).Run();
}

}  // namespace lockstep
