// The end of a zip archive (PKWARE APPNOTE 4.3.14 to 4.3.16):
//   [zip64 end]      "PK\6\6" u64 size of the rest, u16 x 2 versions, u32 disk, u32 disk,
//                    u64 entries here, u64 entries, u64 directory size, u64 directory offset
//   [zip64 locator]  "PK\6\7" u32 disk, u64 offset of the zip64 end, u32 disks
//   end              "PK\5\6" u16 disk, u16 disk, u16 entries here, u16 entries,
//                    u32 directory size, u32 directory offset, u16 comment length, comment
#include "data/zip_end.h"

#include <algorithm>
#include <string_view>

#include "data/bounded_reader.h"

namespace lockstep {
namespace {

constexpr std::string_view kEndMagic = "PK\x05\x06";
constexpr std::string_view kEnd64Magic = "PK\x06\x06";
constexpr std::string_view kLocatorMagic = "PK\x06\x07";
constexpr uint64_t kEndSize = 22;
constexpr uint64_t kLocatorSize = 20;
constexpr uint64_t kEnd64Size = 56;

// The last bytes of the file: all that end record, comment and locator can take.
struct Tail {
  Bytes bytes;
  uint64_t offset;

  std::string_view text() const {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
};

Tail ReadTail(const InputFile& file) {
  const uint64_t size = std::min<uint64_t>(file.size(), kEndSize + 0xFFFF + kLocatorSize);
  return {file.Read(file.size() - size, size), file.size() - size};
}

// The one end record whose comment reaches exactly to the end of the file.
size_t FindEnd(const Tail& tail, const InputFile& file) {
  const std::string_view text = tail.text();
  size_t found = text.npos;
  for (size_t at = text.find(kEndMagic); at != text.npos; at = text.find(kEndMagic, at + 1)) {
    if (text.size() - at < kEndSize) break;
    const size_t comment = static_cast<uint8_t>(text[at + 20]) |
                           static_cast<size_t>(static_cast<uint8_t>(text[at + 21])) << 8;
    if (at + kEndSize + comment == text.size()) {
      found = at;
      break;
    }
  }
  BoundedReader where({}, file.name(), found == text.npos ? file.size() : tail.offset + found);
  if (found == text.npos) {
    where.Fail("not a zip archive, or cut short: no end record within its last 64 KiB");
  }
  if (text.find(kEndMagic, found + 1) != text.npos) {
    where.Fail("two zip end records: which archive is meant is ambiguous");
  }
  return found;
}

ZipEnd ParseEnd(BoundedReader* reader) {
  reader->Expect(kEndMagic, "zip end record");
  const auto disk = reader->Little<uint16_t>("disk");
  const auto first_disk = reader->Little<uint16_t>("disk");
  const auto entries_here = reader->Little<uint16_t>("entries");
  ZipEnd end;
  end.entries = reader->Little<uint16_t>("entries");
  end.directory_size = reader->Little<uint32_t>("directory size");
  end.directory_offset = reader->Little<uint32_t>("directory offset");
  const bool one_disk = (disk == 0 || disk == 0xFFFF) && disk == first_disk;
  if (!one_disk || entries_here != end.entries) reader->Fail("zip archive on several disks");
  return end;
}

ZipEnd ParseEnd64(BoundedReader* reader) {
  reader->Expect(kEnd64Magic, "zip64 end record");
  if (reader->Little<uint64_t>("size") != kEnd64Size - 12) {
    reader->Fail("zip64 end record of an unknown form");
  }
  reader->Take(4, "versions");
  const auto disk = reader->Little<uint32_t>("disk");
  const auto first_disk = reader->Little<uint32_t>("disk");
  const auto entries_here = reader->Little<uint64_t>("entries");
  ZipEnd end;
  end.entries = reader->Little<uint64_t>("entries");
  end.directory_size = reader->Little<uint64_t>("directory size");
  end.directory_offset = reader->Little<uint64_t>("directory offset");
  if (disk != 0 || first_disk != 0 || entries_here != end.entries) {
    reader->Fail("zip archive on several disks");
  }
  return end;
}

// A field of the old record that has no room in it is all ones; otherwise both must agree.
bool Agrees(uint64_t narrow, uint64_t wide, uint64_t all_ones) {
  return narrow == wide || narrow == all_ones;
}

ZipEnd ReadEnd64(const InputFile& file, const ZipEnd& old, uint64_t locator_at) {
  const Bytes bytes = file.Read(locator_at, kLocatorSize);
  BoundedReader locator(bytes.span(), file.name(), locator_at);
  locator.Expect(kLocatorMagic, "zip64 locator");
  const auto disk = locator.Little<uint32_t>("disk");
  const auto offset = locator.Little<uint64_t>("zip64 end offset");
  const auto disks = locator.Little<uint32_t>("disks");
  if (disk != 0 || disks > 1) locator.Fail("zip archive on several disks");
  if (locator_at < kEnd64Size || offset != locator_at - kEnd64Size) {
    locator.Fail("zip64 end record is not before its locator");
  }
  const Bytes record = file.Read(offset, kEnd64Size);
  BoundedReader reader(record.span(), file.name(), offset);
  const ZipEnd end = ParseEnd64(&reader);
  if (!Agrees(old.entries, end.entries, 0xFFFF) ||
      !Agrees(old.directory_size, end.directory_size, 0xFFFFFFFF) ||
      !Agrees(old.directory_offset, end.directory_offset, 0xFFFFFFFF)) {
    reader.Fail("zip and zip64 end records contradict each other");
  }
  return end;
}

}  // namespace

ZipEnd ReadZipEnd(const InputFile& file) {
  const Tail tail = ReadTail(file);
  const size_t found = FindEnd(tail, file);
  const uint64_t end_at = tail.offset + found;
  BoundedReader reader(tail.bytes.span().subspan(found), file.name(), end_at);
  ZipEnd end = ParseEnd(&reader);
  uint64_t limit = end_at;
  if (found >= kLocatorSize &&
      tail.text().substr(found - kLocatorSize).starts_with(kLocatorMagic)) {
    end = ReadEnd64(file, end, end_at - kLocatorSize);
    limit = end_at - kLocatorSize - kEnd64Size;
  }
  if (end.directory_size > limit || end.directory_offset != limit - end.directory_size) {
    reader.Fail("zip directory is not before its end record (" +
                std::to_string(end.directory_size) + " bytes at byte " +
                std::to_string(end.directory_offset) + "): damaged, or joined with other data");
  }
  return end;
}

}  // namespace lockstep
