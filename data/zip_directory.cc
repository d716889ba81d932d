// Members of a zip archive (PKWARE APPNOTE 4.3.7 to 4.3.12, 4.5.3):
//   local header     "PK\3\4" u16 version, u16 flags, u16 method, u16 time, u16 date, u32 crc,
//                    u32 compressed size, u32 size, u16 name length, u16 extra length, name, extra
//   data
//   [descriptor]     with flag 8: ["PK\7\8"] u32 crc, sizes as u32 or u64
//   central header   "PK\1\2" u16 made by, u16 version, u16 flags, u16 method, u16 time, u16 date,
//                    u32 crc, u32 compressed size, u32 size, u16 name length, u16 extra length,
//                    u16 comment length, u16 disk, u16, u32 attributes, u32 local header offset,
//                    name, extra, comment
//   extra field      u16 id, u16 length; id 1 (zip64) holds as u64 those of size, compressed size
//                    and offset that are all ones in the header, in this order
#include <algorithm>
#include <set>
#include <string_view>

#include "data/bounded_reader.h"
#include "data/deflate.h"
#include "data/zip.h"
#include "data/zip_end.h"

namespace lockstep {
namespace {

constexpr uint16_t kDescriptorFlag = 1 << 3;
// Compression options, descriptor, UTF-8 names; all others change what the bytes mean.
constexpr uint16_t kKnownFlags = 0b110 | kDescriptorFlag | 1 << 11;
constexpr uint16_t kZip64Field = 0x0001;
constexpr uint16_t kOtherNameField = 0x7075;
constexpr uint64_t kNoRoom = 0xFFFFFFFF;
constexpr const char* kWriteAsNumPy = "write the file as numpy.savez does";

struct Sizes {
  uint64_t size, compressed_size, offset;
};

// Fills in the fields that are all ones from the zip64 extra field.
void ParseExtra(BoundedReader extra, Sizes* sizes) {
  bool seen = false;
  while (extra.remaining() > 0) {
    const auto id = extra.Little<uint16_t>("extra field id");
    const auto length = extra.Little<uint16_t>("extra field length");
    BoundedReader field(extra.Take(length, "extra field"), extra.name(), extra.offset() - length);
    if (id == kOtherNameField) field.Fail("zip member with two names");
    if (id != kZip64Field) continue;
    if (seen) field.Fail("two zip64 extra fields");
    seen = true;
    for (uint64_t* value : {&sizes->size, &sizes->compressed_size, &sizes->offset}) {
      if (*value == kNoRoom) *value = field.Little<uint64_t>("zip64 size");
    }
  }
}

ZipMember ParseCentralHeader(BoundedReader* reader) {
  reader->Expect("PK\x01\x02", "zip directory entry");
  ZipMember member;
  reader->Take(4, "versions");
  member.flags = reader->Little<uint16_t>("flags");
  const auto method = reader->Little<uint16_t>("method");
  reader->Take(4, "time");
  member.crc = reader->Little<uint32_t>("crc");
  Sizes sizes{};
  sizes.compressed_size = reader->Little<uint32_t>("compressed size");
  sizes.size = reader->Little<uint32_t>("size");
  const auto name_length = reader->Little<uint16_t>("name length");
  const auto extra_length = reader->Little<uint16_t>("extra length");
  const auto comment_length = reader->Little<uint16_t>("comment length");
  const auto disk = reader->Little<uint16_t>("disk");
  reader->Take(6, "attributes");
  sizes.offset = reader->Little<uint32_t>("offset");
  member.name = reader->TakeText(name_length, "member name");
  if (const std::string why = WhyUnsafeName(member.name); !why.empty()) {
    reader->Fail("zip member name '" + Printable(member.name) + "' " + why);
  }
  const uint64_t extra_at = reader->offset();
  ParseExtra({reader->Take(extra_length, "extra fields"), reader->name(), extra_at}, &sizes);
  reader->Take(comment_length, "comment");

  if ((member.flags & ~kKnownFlags) != 0) {
    reader->Fail("zip member '" + Printable(member.name) + "' is encrypted or patched (flags " +
                     std::to_string(member.flags) + ")",
                 kWriteAsNumPy);
  }
  if (method != 0 && method != 8) {
    reader->Fail("zip member '" + Printable(member.name) + "' is compressed by method " +
                     std::to_string(method) + ", wanted stored (0) or deflated (8)",
                 kWriteAsNumPy);
  }
  if (disk != 0) reader->Fail("zip archive on several disks");
  member.method = static_cast<ZipMethod>(method);
  member.size = sizes.size;
  member.compressed_size = sizes.compressed_size;
  member.header_offset = sizes.offset;
  return member;
}

void CheckSizes(const ZipMember& member, const BoundedReader& where) {
  if (member.method == ZipMethod::kStored && member.size != member.compressed_size) {
    where.Fail("stored zip member '" + Printable(member.name) + "' has two sizes");
  }
  if (member.size / kMaxDeflateRatio > member.compressed_size) {
    where.Fail("zip member '" + Printable(member.name) + "' claims to inflate " +
               std::to_string(member.compressed_size) + " bytes to " + std::to_string(member.size) +
               ", more than deflate can");
  }
}

// Reads the local header, which must say the same, and returns the offset behind it.
uint64_t CheckLocalHeader(const InputFile& file, const ZipMember& member, uint64_t limit) {
  const uint64_t at = member.header_offset;
  const std::string name = file.name() + " member '" + Printable(member.name) + "'";
  const uint64_t room = std::min<uint64_t>(limit - at, 30 + 2 * uint64_t{0xFFFF});
  const Bytes bytes = file.Read(at, std::min<uint64_t>(room, 30 + member.name.size() + 64));
  BoundedReader reader(bytes.span(), name, at);
  reader.Expect("PK\x03\x04", "zip local header");
  reader.Take(2, "version");
  const auto flags = reader.Little<uint16_t>("flags");
  const auto method = reader.Little<uint16_t>("method");
  reader.Take(4, "time");
  const auto crc = reader.Little<uint32_t>("crc");
  Sizes sizes{};
  sizes.compressed_size = reader.Little<uint32_t>("compressed size");
  sizes.size = reader.Little<uint32_t>("size");
  const auto name_length = reader.Little<uint16_t>("name length");
  const auto extra_length = reader.Little<uint16_t>("extra length");
  if (name_length != member.name.size() ||
      reader.TakeText(name_length, "member name") != member.name) {
    reader.Fail("zip local header and directory give different names");
  }
  const uint64_t extra_at = reader.offset();
  if (extra_length > limit - extra_at) reader.Fail("zip extra fields reach into the directory");
  const Bytes extra = file.Read(extra_at, extra_length);
  ParseExtra({extra.span(), name, extra_at}, &sizes);

  // With a descriptor the sizes follow the data, and are usually zero here.
  const bool later = (member.flags & kDescriptorFlag) != 0;
  const auto differs = [later](uint64_t local, uint64_t central) {
    return local != central && !(later && local == 0);
  };
  if (flags != member.flags || method != static_cast<uint16_t>(member.method) ||
      differs(crc, member.crc) || differs(sizes.size, member.size) ||
      differs(sizes.compressed_size, member.compressed_size)) {
    reader.Fail("zip local header and directory contradict each other");
  }
  return extra_at + extra_length;
}

// Reads the descriptor that fills the bytes [at, end) in one of its four forms.
void CheckDescriptor(const InputFile& file, const ZipMember& member, uint64_t at, uint64_t end) {
  const uint64_t length = end - at;
  BoundedReader where({}, file.name() + " member '" + Printable(member.name) + "'", at);
  if (length != 12 && length != 16 && length != 20 && length != 24) {
    where.Fail(std::to_string(length) + " bytes where a zip data descriptor should be");
  }
  const Bytes bytes = file.Read(at, length);
  BoundedReader reader(bytes.span(), where.name(), at);
  if (length == 16 || length == 24) reader.Expect("PK\x07\x08", "zip data descriptor");
  const bool wide = length >= 20;
  const auto next = [&] {
    return wide ? reader.Little<uint64_t>("size") : reader.Little<uint32_t>("size");
  };
  const bool crc_agrees = reader.Little<uint32_t>("crc") == member.crc;
  const bool compressed_agrees = next() == member.compressed_size;
  if (!crc_agrees || !compressed_agrees || next() != member.size) {
    reader.Fail("zip data descriptor and directory contradict each other");
  }
}

// Finds the data of every member and checks that the members fill [0, end) without gap or overlap.
void PlaceMembers(const InputFile& file, uint64_t end, std::vector<ZipMember>* members) {
  std::vector<ZipMember*> by_offset;
  for (ZipMember& member : *members) by_offset.push_back(&member);
  std::sort(by_offset.begin(), by_offset.end(), [](const ZipMember* a, const ZipMember* b) {
    return a->header_offset < b->header_offset;
  });
  for (size_t i = 0; i < by_offset.size(); ++i) {
    ZipMember& member = *by_offset[i];
    const uint64_t limit = i + 1 < by_offset.size() ? by_offset[i + 1]->header_offset : end;
    BoundedReader where({}, file.name() + " member '" + Printable(member.name) + "'",
                        member.header_offset);
    if (i == 0 && member.header_offset != 0) where.Fail("bytes before the first zip member");
    if (limit > end || member.header_offset >= limit) where.Fail("overlaps another zip member");
    member.data_offset = CheckLocalHeader(file, member, limit);
    if (member.compressed_size > limit - member.data_offset) {
      where.Fail("zip member overlaps what follows it");
    }
    const uint64_t data_end = member.data_offset + member.compressed_size;
    if ((member.flags & kDescriptorFlag) != 0) {
      CheckDescriptor(file, member, data_end, limit);
    } else if (data_end != limit) {
      where.Fail("unexpected bytes behind the data of a zip member");
    }
  }
  if (by_offset.empty() && end != 0) {
    BoundedReader({}, file.name()).Fail("bytes that belong to no zip member");
  }
}

}  // namespace

std::string WhyUnsafeName(const std::string& name) {
  if (name.empty()) return "is empty";
  if (name.size() > 0xFFFF) return "is longer than 65535 bytes";
  if (name.find('\0') != name.npos) return "holds a NUL";
  if (name.find('\\') != name.npos) return "holds a backslash";
  if (name[0] == '/') return "is an absolute path";
  return ("/" + name + "/").find("/../") == name.npos ? "" : "climbs with '..'";
}

std::vector<ZipMember> ReadZipDirectory(const InputFile& file) {
  const ZipEnd end = ReadZipEnd(file);
  const Bytes bytes = file.Read(end.directory_offset, end.directory_size);
  BoundedReader reader(bytes.span(), file.name(), end.directory_offset);
  std::vector<ZipMember> members;
  std::set<std::string, std::less<>> names;
  while (reader.remaining() > 0) {
    members.push_back(ParseCentralHeader(&reader));
    CheckSizes(members.back(), reader);
    if (!names.insert(members.back().name).second) {
      reader.Fail("two zip members are called '" + Printable(members.back().name) + "'");
    }
  }
  if (members.size() != end.entries) {
    reader.Fail("zip directory holds " + std::to_string(members.size()) + " entries, its end " +
                "record says " + std::to_string(end.entries));
  }
  PlaceMembers(file, end.directory_offset, &members);
  return members;
}

Bytes ReadZipMemberStart(const InputFile& file, const ZipMember& member, size_t size) {
  const bool stored = member.method == ZipMethod::kStored;
  // No compressor that anyone uses makes its first bytes four times as long.
  const uint64_t packed = stored ? size : 4 * size;
  Bytes bytes = file.Read(member.data_offset, std::min(member.compressed_size, packed));
  if (stored) return bytes;
  Bytes start(static_cast<size_t>(std::min<uint64_t>(member.size, size)));
  std::fill_n(start.data(), start.size(), uint8_t{0});
  start.Shrink(InflateStart(bytes.span(), {start.data(), start.size()}));
  return start;
}

Bytes ReadZipMember(const InputFile& file, const ZipMember& member) {
  const std::string name = file.name() + " member '" + Printable(member.name) + "'";
  Bytes bytes = file.Read(member.data_offset, member.compressed_size);
  if (member.method == ZipMethod::kDeflated) {
    Bytes inflated(static_cast<size_t>(member.size));
    Inflate(bytes.span(), {inflated.data(), inflated.size()}, name);
    bytes = std::move(inflated);
  }
  if (Crc32(bytes.span()) != member.crc) {
    BoundedReader({}, name, member.data_offset).Fail("CRC-32 does not match: the data is damaged");
  }
  return bytes;
}

}  // namespace lockstep
