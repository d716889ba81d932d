// Archives that two readers could understand differently, or that cost more than they are worth.
#include <gtest/gtest.h>

#include <utility>

#include "data/npz.h"
#include "data/zip.h"
#include "tests/data/expect_error.h"
#include "tests/data/zip_builder.h"

namespace lockstep {
namespace {

using testing::HasSubstr;

// A small npy file, as text.
std::string Npy() {
  const std::vector<uint8_t> bytes = WriteNpy(Tensor(DType::kUint8, {5}));
  return {bytes.begin(), bytes.end()};
}

NpzReader Open(const std::string& file) {
  return NpzReader(InputFile::FromMemory(
      Bytes::Copy({reinterpret_cast<const uint8_t*>(file.data()), file.size()}), "x.npz"));
}

constexpr const char* kAgain = "; fetch or write the file again";

void Refuse(const ZipFile& file, const std::string& why, const std::string& advice = kAgain) {
  ExpectError(ExitCode::kBadData, {"x.npz", why, advice}, [&] { Open(file.Build()); });
}

ZipFile Two() {
  return {.entries = {ZipEntry::Stored("a.npy", Npy()), ZipEntry::Stored("b.npy", Npy())}};
}

TEST(ZipTricks, HonestArchivesAreRead) {
  ZipFile file = Two();
  EXPECT_EQ(Open(file.Build()).ReadAll().size(), 2U);
  file.comment = "said by the way";
  EXPECT_EQ(Open(file.Build()).ReadAll().size(), 2U);
  EXPECT_TRUE(Open(ZipFile{}.Build()).names().empty());
}

TEST(ZipTricks, MembersThatShareBytesAreRefused) {
  ZipFile file = Two();
  file.entries[1].offset = 0;
  file.entries[1].data = file.entries[1].local.name = "";
  Refuse(file, "overlaps");

  file = Two();  // the second begins inside the first one's data
  file.entries[0].local.compressed_size = file.entries[0].central.compressed_size += 8;
  file.entries[0].local.size = file.entries[0].central.size += 8;
  Refuse(file, "overlaps");

  file = Two();  // a member hidden in the data of another, both in the directory
  const ZipEntry inner = ZipEntry::Stored("b.npy", Npy());
  const std::string nested = ZipFile{.entries = {inner}}.Build().substr(0, 35 + Npy().size());
  file.entries[0] = ZipEntry::Stored("a.npy", nested);
  file.entries[1].offset = static_cast<uint32_t>(30 + 5);
  Refuse(file, "overlaps");
}

TEST(ZipTricks, ImpossibleRatioIsRefusedBeforeInflating) {
  ZipFile file = Two();
  ZipEntry& entry = file.entries[0];
  entry.local.method = entry.central.method = 8;
  entry.local.size = entry.central.size = entry.central.compressed_size * 1200;
  Refuse(file, "more than deflate can");
  entry.local.size = entry.central.size = 0xFFFFFFF0;
  Refuse(file, "more than deflate can");
}

TEST(ZipTricks, LocalHeaderThatDisagreesIsRefused) {
  const auto refuse = [](auto change) {
    ZipFile file = Two();
    change(&file.entries[1].local);
    Refuse(file, "local header");
  };
  refuse([](ZipHeader* h) { h->name = "c.npy"; });
  refuse([](ZipHeader* h) { h->name = "bb.npy"; });
  refuse([](ZipHeader* h) { h->method = 8; });
  refuse([](ZipHeader* h) { h->flags = 2; });
  refuse([](ZipHeader* h) { h->crc ^= 1; });
  refuse([](ZipHeader* h) { h->crc = 0; });
  refuse([](ZipHeader* h) { h->size -= 1; });
  refuse([](ZipHeader* h) { h->compressed_size += 1; });
}

TEST(ZipTricks, TwoEndRecordsAreAmbiguous) {
  ZipFile file = Two();
  file.comment = ZipFile{}.Build();
  Refuse(file, "two zip end records");
  file.comment = Two().Build();
  Refuse(file, "two zip end records");
}

TEST(ZipTricks, BytesThatBelongToNothingAreRefused) {
  ZipFile file = Two();
  file.before = "#!/bin/sh\n";
  Refuse(file, "before the first");
  file.before = "";
  file.behind = "junk";
  Refuse(file, "no end record");
  file.behind = "";
  file.entries[0].behind = "junk";
  Refuse(file, "behind the data");
  file = Two();
  file.zip64_end = "junk";
  Refuse(file, "directory is not before");
  file = Two();  // a whole archive behind other data, offsets counted from its own beginning
  ExpectError(ExitCode::kBadData, {"directory is not before"},
              [&] { Open("GIF89a" + Two().Build()); });
  Refuse({.before = "stray"}, "belong to no zip member");
}

TEST(ZipTricks, DirectoryMustHoldWhatItsEndSays) {
  ZipFile file = Two();
  file.count = 1;
  Refuse(file, "2 entries");
  file.count = 3;
  Refuse(file, "2 entries");
  file = Two();
  file.directory_offset = 3;
  Refuse(file, "directory is not before");
  file = Two();
  file.entries[0].disk = 1;
  Refuse(file, "several disks");
}

std::string Zip64End(uint64_t count, uint64_t size, uint64_t offset, uint64_t at) {
  return "PK\x06\x06" + Little(44, 8) + Little(45, 2) + Little(45, 2) + Little(0, 8) +
         Little(count, 8) + Little(count, 8) + Little(size, 8) + Little(offset, 8) + "PK\x06\x07" +
         Little(0, 4) + Little(at, 8) + Little(1, 4);
}

TEST(ZipTricks, Zip64EndMustAgree) {
  ZipFile file = Two();
  const uint64_t offset = 2 * (30 + 5 + Npy().size());
  const uint64_t size = 2 * (46 + 5);
  file.zip64_end = Zip64End(2, size, offset, offset + size);
  EXPECT_EQ(Open(file.Build()).ReadAll().size(), 2U);
  for (const auto& lie :
       {Zip64End(1, size, offset, offset + size),
        Zip64End(2, size - 51, offset + 51, offset + size), Zip64End(2, size, 0, offset + size)}) {
    file.zip64_end = lie;
    Refuse(file, "contradict");
  }
  file.zip64_end = Zip64End(2, size, offset, 0);
  Refuse(file, "locator");
  file.zip64_end = Zip64End(2, size, offset, ~uint64_t{0} - 3);
  Refuse(file, "locator");
}

TEST(ZipTricks, Zip64SizesAreReadFromTheExtraField) {
  ZipFile file = Two();
  ZipEntry& entry = file.entries[0];
  const std::string sizes = Little(entry.data.size(), 8) + Little(entry.data.size(), 8);
  for (ZipHeader* header : {&entry.local, &entry.central}) {
    header->size = header->compressed_size = 0xFFFFFFFF;
    header->extra = Little(1, 2) + Little(16, 2) + sizes;
  }
  EXPECT_EQ(Open(file.Build()).ReadAll().size(), 2U);
  const std::string good = entry.central.extra;
  entry.central.extra = good + good;
  Refuse(file, "two zip64");
  entry.central.extra = good.substr(0, 12);
  Refuse(file, "extra field");
  entry.central.extra = Little(1, 2) + Little(8, 2) + sizes.substr(0, 8);
  Refuse(file, "zip64 size");
  entry.central.extra = "";
  Refuse(file, "contradict");
  entry.central.extra =
      Little(1, 2) + Little(16, 2) + Little(~uint64_t{0}, 8) + Little(~uint64_t{0}, 8);
  Refuse(file, "contradict");
}

TEST(ZipTricks, DataDescriptorMustAgree) {
  const std::string npy = Npy();
  for (const int width : {4, 8}) {
    for (const std::string magic : {"", "PK\x07\x08"}) {
      ZipFile file = Two();
      ZipEntry& entry = file.entries[0];
      entry.local = {.name = "a.npy", .flags = 8};
      entry.central.flags = 8;
      entry.behind =
          magic + Little(CrcOf(npy), 4) + Little(npy.size(), width) + Little(npy.size(), width);
      EXPECT_EQ(Open(file.Build()).ReadAll().size(), 2U);
      entry.local.crc = CrcOf(npy) ^ 1;
      Refuse(file, "contradict");
      entry.local.crc = 0;
      entry.behind.back() ^= 1;
      Refuse(file, "descriptor");
      entry.behind = entry.behind.substr(1);
      Refuse(file, "descriptor");
      entry.behind = "";
      Refuse(file, "descriptor");
    }
  }
}

TEST(ZipTricks, UnsafeNamesAreRefused) {
  const auto with_name = [](const std::string& name) {
    return ZipFile{.entries = {ZipEntry::Stored(name, Npy())}};
  };
  Refuse(with_name("../../x.npy"), "'..'");
  Refuse(with_name("a/../x.npy"), "'..'");
  Refuse(with_name("a/.."), "'..'");
  Refuse(with_name("/etc/x.npy"), "absolute");
  Refuse(with_name("a\\b.npy"), "backslash");
  Refuse(with_name(std::string("a\0b.npy", 7)), "\\x00");
  Refuse(with_name(""), "is empty");
  Refuse({.entries = {ZipEntry::Stored("a.npy", Npy()), ZipEntry::Stored("a.npy", Npy())}},
         "two zip members");
  ZipFile two_names = with_name("a.npy");
  two_names.entries[0].central.extra = Little(0x7075, 2) + Little(1, 2) + "x";
  Refuse(two_names, "two names");
}

TEST(ZipTricks, LongestNameIsOnlyAName) {
  const std::string name = std::string(65531, '\n') + ".npy";
  const NpzReader reader = Open(ZipFile{.entries = {ZipEntry::Stored(name, "")}}.Build());
  ExpectError(ExitCode::kBadData, {"npy magic"}, [&] { reader.ReadAll(); });
}

TEST(ZipTricks, OtherMethodsAndEncryptionAreRefused) {
  const std::string as_numpy = "; write the file as numpy.savez does";
  ZipFile file = Two();
  file.entries[0].central.method = file.entries[0].local.method = 12;
  Refuse(file, "method 12, wanted stored (0) or deflated (8)", as_numpy);
  for (const int flag : {1, 1 << 5, 1 << 6, 1 << 13}) {
    file = Two();
    file.entries[0].central.flags = file.entries[0].local.flags = static_cast<uint16_t>(flag);
    Refuse(file, "encrypted", as_numpy);
  }
}

TEST(ZipTricks, DamagedDataIsCaughtByItsCrc) {
  ZipFile file = Two();
  file.entries[0].data.back() ^= 1;
  const NpzReader reader = Open(file.Build());
  EXPECT_EQ(reader.Read("b").size(), 5);
  ExpectError(ExitCode::kBadData, {"x.npz", "'a.npy'", "CRC", kAgain}, [&] { reader.Read("a"); });
}

TEST(ZipTricks, CompressedDataMustFillItsMemberExactly) {
  const std::string npy = Npy() + std::string(1000, 'x');
  const std::vector<uint8_t> deflated =
      Compressor(6).Deflate({reinterpret_cast<const uint8_t*>(npy.data()), npy.size()});
  const auto read = [&](std::string data, int more) {
    const ZipHeader header{.name = "a.npy",
                           .method = 8,
                           .crc = CrcOf(npy),
                           .compressed_size = static_cast<uint32_t>(data.size()),
                           .size = static_cast<uint32_t>(npy.size()) + static_cast<uint32_t>(more)};
    const ZipFile file{.entries = {{.local = header, .central = header, .data = data}}};
    return Open(file.Build()).Read("a");
  };
  const std::string data(deflated.begin(), deflated.end());
  ExpectError(ExitCode::kBadData, {"unexpected bytes", kAgain}, [&] { read(data + "x", 0); });
  ExpectError(ExitCode::kBadData, {"damaged", kAgain},
              [&] { read(data.substr(0, data.size() - 1), 0); });
  ExpectError(ExitCode::kBadData, {"more than", kAgain}, [&] { read(data, -1); });
  ExpectError(ExitCode::kBadData, {"declared", kAgain}, [&] { read(data, 1); });
}

TEST(ZipTricks, MembersThatAreNoArraysAreNotListed) {
  const NpzReader reader = Open(
      ZipFile{.entries = {ZipEntry::Stored("folder/", ""), ZipEntry::Stored("folder/a.npy", Npy()),
                          ZipEntry::Stored("note.txt", "hello")}}
          .Build());
  EXPECT_EQ(reader.names(), std::vector<std::string>{"folder/a"});
}

}  // namespace
}  // namespace lockstep
