// Writes a zip archive front to back.
#ifndef LOCKSTEP_DATA_ZIP_WRITER_H_
#define LOCKSTEP_DATA_ZIP_WRITER_H_

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "data/zip.h"

namespace lockstep {

// Every member is dated 1980-01-01 and has mode 0600, as numpy.savez does it.
class ZipWriter {
 public:
  using Sink = std::function<void(std::span<const uint8_t>)>;
  using Pieces = std::vector<std::span<const uint8_t>>;

  // With `force_zip64` every member and the end carry 64-bit sizes, else those that need them.
  explicit ZipWriter(Sink sink, bool force_zip64 = false)
      : sink_(std::move(sink)), force_zip64_(force_zip64) {}

  // `plain` is the content in pieces; `deflated` the same compressed, or empty to store it.
  void Add(const std::string& name, const Pieces& plain, std::span<const uint8_t> deflated);
  // Writes the directory; nothing may be added afterwards.
  void Finish();

 private:
  void Put(std::span<const uint8_t> bytes);
  std::string LocalHeader(const ZipMember& member) const;
  std::string CentralHeader(const ZipMember& member) const;
  bool IsWide(uint64_t value) const { return force_zip64_ || value >= 0xFFFFFFFF; }

  Sink sink_;
  bool force_zip64_;
  uint64_t offset_ = 0;
  std::vector<ZipMember> members_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_DATA_ZIP_WRITER_H_
