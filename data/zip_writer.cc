// The formats are documented in data/zip_directory.cc and data/zip_end.cc.
#include "data/zip_writer.h"

#include "data/deflate.h"

namespace lockstep {
namespace {

constexpr uint32_t kNoRoom = 0xFFFFFFFF;
constexpr uint16_t kDate1980 = 1 << 5 | 1;

template <typename T>
void AppendLittle(T value, std::string* text) {
  for (size_t i = 0; i < sizeof(T); ++i) {
    *text += static_cast<char>(static_cast<uint64_t>(value) >> (8 * i) & 255);
  }
}

std::span<const uint8_t> AsBytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// Names that are not ASCII are UTF-8, which a flag says.
uint16_t NameFlags(const std::string& name) {
  for (const char c : name) {
    if (static_cast<uint8_t>(c) >= 0x80) return 1 << 11;
  }
  return 0;
}

// From flags to the second size: the same in local and central header.
void AppendCommon(const ZipMember& member, bool wide, std::string* text) {
  AppendLittle(member.flags, text);
  AppendLittle(static_cast<uint16_t>(member.method), text);
  AppendLittle<uint16_t>(0, text);
  AppendLittle(kDate1980, text);
  AppendLittle(member.crc, text);
  AppendLittle(wide ? kNoRoom : static_cast<uint32_t>(member.compressed_size), text);
  AppendLittle(wide ? kNoRoom : static_cast<uint32_t>(member.size), text);
  AppendLittle(static_cast<uint16_t>(member.name.size()), text);
}

void AppendZip64Field(std::initializer_list<uint64_t> values, std::string* text) {
  AppendLittle<uint16_t>(1, text);
  AppendLittle(static_cast<uint16_t>(8 * values.size()), text);
  for (const uint64_t value : values) AppendLittle(value, text);
}

}  // namespace

void ZipWriter::Put(std::span<const uint8_t> bytes) {
  sink_(bytes);
  offset_ += bytes.size();
}

std::string ZipWriter::LocalHeader(const ZipMember& member) const {
  const bool wide = IsWide(member.size) || IsWide(member.compressed_size);
  std::string text("PK\x03\x04");
  AppendLittle<uint16_t>(wide ? 45 : 20, &text);
  AppendCommon(member, wide, &text);
  AppendLittle<uint16_t>(wide ? 20 : 0, &text);
  text += member.name;
  if (wide) AppendZip64Field({member.size, member.compressed_size}, &text);
  return text;
}

std::string ZipWriter::CentralHeader(const ZipMember& member) const {
  const bool wide = IsWide(member.size) || IsWide(member.compressed_size);
  const bool far = IsWide(member.header_offset);
  std::string text("PK\x01\x02");
  const uint16_t version = wide || far ? 45 : 20;
  AppendLittle<uint16_t>(static_cast<uint16_t>(3 << 8 | version), &text);
  AppendLittle(version, &text);
  AppendCommon(member, wide, &text);
  AppendLittle<uint16_t>(
      static_cast<uint16_t>((wide || far ? 4 : 0) + (wide ? 16 : 0) + (far ? 8 : 0)), &text);
  AppendLittle<uint16_t>(0, &text);  // comment
  AppendLittle<uint16_t>(0, &text);  // disk
  AppendLittle<uint16_t>(0, &text);  // internal attributes
  AppendLittle<uint32_t>(0600U << 16, &text);
  AppendLittle(far ? kNoRoom : static_cast<uint32_t>(member.header_offset), &text);
  text += member.name;
  if (wide && far) {
    AppendZip64Field({member.size, member.compressed_size, member.header_offset}, &text);
  } else if (wide) {
    AppendZip64Field({member.size, member.compressed_size}, &text);
  } else if (far) {
    AppendZip64Field({member.header_offset}, &text);
  }
  return text;
}

void ZipWriter::Add(const std::string& name, const Pieces& plain,
                    std::span<const uint8_t> deflated) {
  ZipMember member;
  member.name = name;
  member.flags = NameFlags(name);
  member.header_offset = offset_;
  for (const std::span<const uint8_t> piece : plain) {
    member.crc = Crc32(piece, member.crc);
    member.size += piece.size();
  }
  member.method = deflated.empty() ? ZipMethod::kStored : ZipMethod::kDeflated;
  member.compressed_size = deflated.empty() ? member.size : deflated.size();
  Put(AsBytes(LocalHeader(member)));
  if (deflated.empty()) {
    for (const std::span<const uint8_t> piece : plain) Put(piece);
  } else {
    Put(deflated);
  }
  members_.push_back(std::move(member));
}

void ZipWriter::Finish() {
  const uint64_t begin = offset_;
  for (const ZipMember& member : members_) Put(AsBytes(CentralHeader(member)));
  const uint64_t size = offset_ - begin;
  const uint64_t count = members_.size();
  const bool wide = IsWide(begin) || IsWide(size) || count >= 0xFFFF;
  std::string text;
  if (wide) {
    text += "PK\x06\x06";
    AppendLittle<uint64_t>(44, &text);
    AppendLittle<uint16_t>(3 << 8 | 45, &text);
    AppendLittle<uint16_t>(45, &text);
    AppendLittle<uint64_t>(0, &text);  // two disks
    for (const uint64_t value : {count, count, size, begin}) AppendLittle(value, &text);
    text += "PK\x06\x07";
    AppendLittle<uint32_t>(0, &text);
    AppendLittle(offset_, &text);
    AppendLittle<uint32_t>(1, &text);
  }
  text += "PK\x05\x06";
  AppendLittle<uint32_t>(0, &text);  // two disks
  for (int i = 0; i < 2; ++i) AppendLittle(static_cast<uint16_t>(wide ? 0xFFFF : count), &text);
  AppendLittle(wide ? kNoRoom : static_cast<uint32_t>(size), &text);
  AppendLittle(wide ? kNoRoom : static_cast<uint32_t>(begin), &text);
  AppendLittle<uint16_t>(0, &text);
  Put(AsBytes(text));
}

}  // namespace lockstep
