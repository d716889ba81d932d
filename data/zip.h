// The directory of a zip archive, read strictly: of two possible readings, neither is taken.
#ifndef LOCKSTEP_DATA_ZIP_H_
#define LOCKSTEP_DATA_ZIP_H_

#include <cstdint>
#include <string>
#include <vector>

#include "data/bytes.h"
#include "data/input_file.h"

namespace lockstep {

enum class ZipMethod : uint16_t { kStored = 0, kDeflated = 8 };

struct ZipMember {
  std::string name;
  ZipMethod method = ZipMethod::kStored;
  uint16_t flags = 0;
  uint32_t crc = 0;
  uint64_t compressed_size = 0;
  uint64_t size = 0;
  uint64_t header_offset = 0;  // of the local header
  uint64_t data_offset = 0;
};

// The members in the order of the central directory, which is the truth; each local header and
// data descriptor has been compared with it. Throws FormatError for whatever different readers
// could understand differently: bytes that belong to no member (so neither overlaps nor anything
// before, between or behind), a second end record, duplicate or unsafe names (absolute, "..",
// NUL), encryption, methods other than stored and deflate, several disks, and a member that claims
// to inflate more than deflate can.
std::vector<ZipMember> ReadZipDirectory(const InputFile& file);

// Why a member may not be called this; empty when it may.
std::string WhyUnsafeName(const std::string& name);

// About the first `size` bytes of a member, not checked against its CRC-32; fewer or none where
// they could not be had without reading it all.
Bytes ReadZipMemberStart(const InputFile& file, const ZipMember& member, size_t size);

// The member's bytes, checked against its CRC-32.
Bytes ReadZipMember(const InputFile& file, const ZipMember& member);

}  // namespace lockstep

#endif  // LOCKSTEP_DATA_ZIP_H_
