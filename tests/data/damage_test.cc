// Files cut at every byte and flipped at every bit: refused, or read as if nothing had happened.
#include <gtest/gtest.h>
#include <libdeflate.h>
#include <sys/resource.h>

#include <functional>

#include "data/deflate.h"
#include "data/idx.h"
#include "data/npz.h"
#include "tests/data/expect_error.h"
#include "tests/temporary_directory.h"

namespace lockstep {
namespace {

constexpr const char* kAgain = "; fetch or write the file again";

using File = std::vector<uint8_t>;
// Throws FormatError, or returns what was read.
using Parse = std::function<std::string(const File&)>;

std::string Text(const Tensor& tensor) {
  return std::string(Name(tensor.dtype())) + tensor.shape().ToString() +
         std::string(static_cast<const char*>(tensor.data()), tensor.bytes());
}

std::string ParseNpz(const File& file) {
  std::string text;
  const NpzReader reader(InputFile::FromMemory(Bytes::Copy(file), "x"));
  for (const auto& [name, tensor] : reader.ReadAll(1)) text += name + Text(tensor);
  return text;
}

std::string ParseGzippedIdx(const File& file) {
  const Bytes plain = Gunzip(file, 1 << 20, "x");
  return Text(ParseIdx(plain, "x"));
}

File SmallNpz(bool compress) {
  NpzWriter writer({.compress = compress});
  writer.Add("data", Tensor(DType::kUint8, {4, 2, 3}));
  writer.Add("labels", Tensor(DType::kInt32, {4}));
  return writer.ToBytes();
}

File SmallIdx() {
  File file = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 5};
  for (uint8_t i = 0; i < 30; ++i) file.push_back(i);
  return file;
}

File Gzip(const File& plain) {
  libdeflate_compressor* compressor = libdeflate_alloc_compressor(6);
  File file(libdeflate_gzip_compress_bound(compressor, plain.size()));
  file.resize(
      libdeflate_gzip_compress(compressor, plain.data(), plain.size(), file.data(), file.size()));
  libdeflate_free_compressor(compressor);
  return file;
}

std::string ResultOf(const Parse& parse, const File& file) {
  try {
    return parse(file);
  } catch (const FormatError& error) {
    EXPECT_EQ(error.code(), ExitCode::kBadData);
    EXPECT_LE(std::string(error.what()).size(), 1024U);
    EXPECT_THAT(error.what(), testing::ContainsRegex("; (fetch or write|write|save|wanted) "));
    return "refused";
  }
}

int64_t PeakKilobytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

void CutAtEveryByte(const Parse& parse, const File& file) {
  ASSERT_NE(ResultOf(parse, file), "refused");
  for (size_t size = 0; size < file.size(); ++size) {
    const File cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(ResultOf(parse, cut), "refused") << "cut at byte " << size;
  }
}

// Calls check(result, byte) for every flip.
void FlipEveryBit(const Parse& parse, const File& file,
                  const std::function<void(const std::string&, size_t)>& check) {
  for (size_t bit = 0; bit < file.size() * 8; ++bit) {
    File flipped = file;
    flipped[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    // Flip by flip: a sanitizer keeps what all of them have freed.
    const int64_t before = PeakKilobytes();
    check(ResultOf(parse, flipped), bit / 8);
    EXPECT_LT(PeakKilobytes() - before, 64 << 10) << "flipped in byte " << bit / 8;
  }
}

void FlipsAreRefusedOrHarmless(const Parse& parse, const File& file) {
  const std::string whole = ResultOf(parse, file);
  FlipEveryBit(parse, file, [&](const std::string& result, size_t byte) {
    EXPECT_TRUE(result == "refused" || result == whole) << "flipped in byte " << byte;
  });
}

TEST(Damage, NpzCutAnywhereIsRefused) {
  CutAtEveryByte(ParseNpz, SmallNpz(false));
  CutAtEveryByte(ParseNpz, SmallNpz(true));
}

TEST(Damage, NpzFlippedAnywhereIsRefusedOrUnchanged) {
  FlipsAreRefusedOrHarmless(ParseNpz, SmallNpz(false));
  FlipsAreRefusedOrHarmless(ParseNpz, SmallNpz(true));
}

TEST(Damage, IdxCutAnywhereIsRefused) {
  CutAtEveryByte([](const File& f) { return Text(ParseIdx(Bytes::Copy(f), "x")); }, SmallIdx());
  CutAtEveryByte(ParseGzippedIdx, Gzip(SmallIdx()));
}

TEST(Damage, GzippedIdxFlippedAnywhereIsRefusedOrUnchanged) {
  FlipsAreRefusedOrHarmless(ParseGzippedIdx, Gzip(SmallIdx()));
}

TEST(Damage, FlippedIdxHeaderIsRefusedAndFlippedPixelIsThatPixel) {
  const Parse parse = [](const File& f) { return Text(ParseIdx(Bytes::Copy(f), "x")); };
  const std::string whole = parse(SmallIdx());
  FlipEveryBit(parse, SmallIdx(), [&](const std::string& result, size_t byte) {
    if (byte == 2 && result != "refused") {
      EXPECT_EQ(result.substr(0, 16), "int32(2, 3, 5)" + std::string(2, '\0'));  // int8, as large
    } else if (byte < 16) {
      EXPECT_EQ(result, "refused") << byte;
    } else {
      EXPECT_EQ(result.size(), whole.size());
    }
  });
}

TEST(Damage, IdxExtentsAreCheckedBeforeMemoryIsTaken) {
  const auto refuse = [](File file, const std::string& why) {
    ExpectError(ExitCode::kBadData, {"x: ", why, kAgain},
                [&] { ParseIdx(Bytes::Copy(file), "x"); });
  };
  const File huge = {0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
  refuse(huge, "too many elements");
  refuse({0, 0, 8, 1, 255, 255, 255, 255}, "4294967295 bytes wanted");
  refuse({0, 0, 8, 9, 0, 0, 0, 0}, "ends inside");
  refuse({0, 0, 10, 1, 0, 0, 0, 0}, "type 10 is unknown, wanted 8, 9, 11, 12, 13 or 14");
  refuse({0, 1, 8, 1, 0, 0, 0, 0}, "magic");
  refuse({0, 0, 8, 1, 0, 0, 0, 1, 7, 7}, "unexpected bytes");
}

TEST(Damage, EveryIdxTypeIsRead) {
  const auto read = [](uint8_t type, File items) {
    File file = {0, 0, type, 1, 0, 0, 0, 1};
    file.insert(file.end(), items.begin(), items.end());
    return ParseIdx(Bytes::Copy(file), "x");
  };
  EXPECT_EQ(read(0x08, {200}).values<uint8_t>()[0], 200);
  EXPECT_EQ(read(0x09, {200}).values<int32_t>()[0], -56);
  EXPECT_EQ(read(0x0B, {255, 2}).values<int32_t>()[0], -254);
  EXPECT_EQ(read(0x0C, {1, 2, 3, 4}).values<int32_t>()[0], 0x01020304);
  EXPECT_EQ(read(0x0D, {0x3F, 0xC0, 0, 0}).values<float>()[0], 1.5F);
  EXPECT_EQ(read(0x0E, {0xBF, 0xF8, 0, 0, 0, 0, 0, 0}).values<double>()[0], -1.5);
}

TEST(Damage, GzippedIdxIsInflatedOnlyAsFarAsItsHeaderSays) {
  const TemporaryDirectory dir;
  File file = {0, 0, 8, 1, 0, 0, 0, 160};
  file.resize(8 + (size_t{200} << 20));
  const std::string path = dir.Write("x.gz", Gzip(file));
  File().swap(file);
  const int64_t before = PeakKilobytes();
  ExpectError(ExitCode::kBadData, {"x.gz: ", "168 bytes", kAgain}, [&] { ReadIdx(path); });
  EXPECT_LE(PeakKilobytes() - before, 8 << 10);
}

TEST(Damage, GzippedIdxOfAnySizeAndWithANameIsRead) {
  const TemporaryDirectory dir;
  for (const int64_t size : {1, 5, 160, 5000, 70000}) {
    File file = {0,
                 0,
                 8,
                 1,
                 0,
                 static_cast<uint8_t>(size >> 16),
                 static_cast<uint8_t>(size >> 8),
                 static_cast<uint8_t>(size)};
    for (int64_t i = 0; i < size; ++i) file.push_back(static_cast<uint8_t>(i * i));
    File packed = Gzip(file);
    EXPECT_EQ(ReadIdx(dir.Write("x.gz", packed)).size(), size);
    packed[3] = 8;  // a name
    const File name = {'a', 'b', 0};
    packed.insert(packed.begin() + 10, name.begin(), name.end());
    EXPECT_EQ(ReadIdx(dir.Write("x.gz", packed)).size(), size);
  }
}

TEST(Damage, PlainIdxOfAnotherSizeIsNotRead) {
  const TemporaryDirectory dir;
  File file = {0, 0, 8, 1, 0, 0, 0, 160};
  file.resize(3000);
  ExpectError(ExitCode::kBadData, {"a file of 168 bytes, this one has 3000", kAgain},
              [&] { ReadIdx(dir.Write("x", file)); });
}

TEST(Gunzip, AFileMayBeginWithSmallMembers) {
  File file = {0, 0, 8, 3, 0, 0, 0, 100, 0, 0, 0, 20, 0, 0, 0, 30};
  file.resize(16 + 60'000, 9);
  const TemporaryDirectory dir;
  for (const size_t first : {size_t{0}, size_t{1}, size_t{16}, size_t{500}, size_t{5'000}}) {
    File packed = Gzip({file.begin(), file.begin() + static_cast<ptrdiff_t>(first)});
    const File rest = Gzip({file.begin() + static_cast<ptrdiff_t>(first), file.end()});
    packed.insert(packed.end(), rest.begin(), rest.end());
    const Tensor read = ReadIdx(dir.Write("x.gz", packed));
    EXPECT_EQ(read.shape(), (Shape{100, 20, 30})) << first;
    EXPECT_EQ(read.values<uint8_t>().back(), 9);
  }
}

TEST(Gunzip, MembersAreJoined) {
  const File big(100000, 7);
  File file = Gzip(big);
  for (const File& next : {Gzip({1, 2, 3}), Gzip({}), Gzip(big)}) {
    file.insert(file.end(), next.begin(), next.end());
  }
  const Bytes plain = Gunzip(file, 1 << 20, "x");
  EXPECT_EQ(plain.size(), 200003U);
  EXPECT_EQ(plain.data()[100001], 2);
  ExpectError(ExitCode::kBadData, {"x: ", "150000", kAgain}, [&] { Gunzip(file, 150000, "x"); });
  file.push_back(0);
  ExpectError(ExitCode::kBadData, {"gzip", kAgain}, [&] { Gunzip(file, 1 << 20, "x"); });
}

TEST(Gunzip, WrongSizeInTheTrailerIsRefusedWithoutTheMemory) {
  File file = Gzip({1, 2, 3});
  for (size_t i = file.size() - 4; i < file.size(); ++i) file[i] = 0xFF;
  const int64_t before = PeakKilobytes();
  ExpectError(ExitCode::kBadData, {"x: ", kAgain}, [&] { Gunzip(file, ~uint64_t{0}, "x"); });
  EXPECT_LT(PeakKilobytes() - before, 64 << 10);
}

}  // namespace
}  // namespace lockstep
