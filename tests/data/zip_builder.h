// Zip archives in which anything may be a lie.
#ifndef LOCKSTEP_TESTS_DATA_ZIP_BUILDER_H_
#define LOCKSTEP_TESTS_DATA_ZIP_BUILDER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/deflate.h"

namespace lockstep {

inline std::string Little(uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 255);
  return text;
}

inline uint32_t CrcOf(const std::string& text) {
  return Crc32({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

// A member as one of its headers describes it.
struct ZipHeader {
  std::string name;
  uint16_t flags = 0;
  uint16_t method = 0;
  uint32_t crc = 0;
  uint32_t compressed_size = 0;
  uint32_t size = 0;
  std::string extra = {};
};

struct ZipEntry {
  ZipHeader local, central;
  std::string data;
  std::string behind = {};              // e.g. a data descriptor
  std::optional<uint32_t> offset = {};  // the directory's, when it lies
  uint16_t disk = 0;

  // An honest stored member.
  static ZipEntry Stored(const std::string& name, const std::string& data) {
    const auto size = static_cast<uint32_t>(data.size());
    const ZipHeader header{.name = name, .crc = CrcOf(data), .compressed_size = size, .size = size};
    return {.local = header, .central = header, .data = data};
  }
};

struct ZipFile {
  std::vector<ZipEntry> entries = {};
  std::string before = {};  // in front of the first member; offsets count it
  std::string comment = {};
  std::string behind = {};  // what no record mentions
  std::optional<uint16_t> count = {};
  std::string zip64_end = {};  // put between directory and end record
  std::optional<uint32_t> directory_offset = {};

  std::string Build() const {
    const auto common = [](const ZipHeader& h) {
      return Little(h.flags, 2) + Little(h.method, 2) + Little(0, 4) + Little(h.crc, 4) +
             Little(h.compressed_size, 4) + Little(h.size, 4) + Little(h.name.size(), 2) +
             Little(h.extra.size(), 2);
    };
    std::string file = before;
    std::string directory;
    for (const ZipEntry& entry : entries) {
      const uint64_t at = entry.offset.value_or(static_cast<uint32_t>(file.size()));
      file += "PK\x03\x04" + Little(20, 2) + common(entry.local) + entry.local.name +
              entry.local.extra + entry.data + entry.behind;
      directory += "PK\x01\x02" + Little(20, 2) + Little(20, 2) + common(entry.central) +
                   Little(0, 2) + Little(entry.disk, 2) + Little(0, 6) + Little(at, 4) +
                   entry.central.name + entry.central.extra;
    }
    const uint64_t offset = directory_offset.value_or(static_cast<uint32_t>(file.size()));
    const uint16_t entries_said = count.value_or(static_cast<uint16_t>(entries.size()));
    return file + directory + zip64_end + "PK\x05\x06" + Little(0, 4) + Little(entries_said, 2) +
           Little(entries_said, 2) + Little(directory.size(), 4) + Little(offset, 4) +
           Little(comment.size(), 2) + comment + behind;
  }
};

}  // namespace lockstep

#endif  // LOCKSTEP_TESTS_DATA_ZIP_BUILDER_H_
