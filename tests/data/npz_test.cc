#include "data/npz.h"

#include <gtest/gtest.h>

#include <numeric>

#include "data/deflate.h"
#include "data/zip_writer.h"
#include "tests/data/expect_error.h"
#include "tests/temporary_directory.h"

namespace lockstep {
namespace {

template <typename T>
Tensor Range(const Shape& shape) {
  std::vector<T> values(static_cast<size_t>(shape.size()));
  std::iota(values.begin(), values.end(), T{3});
  return Tensor::FromValues<T>(shape, values);
}

template <typename T>
std::vector<T> Values(const Tensor& tensor) {
  const auto values = tensor.values<T>();
  return {values.begin(), values.end()};
}

NpzReader FromMemory(const std::vector<uint8_t>& bytes) {
  return NpzReader(InputFile::FromMemory(Bytes::Copy(bytes), "memory.npz"));
}

NpzWriter SomeArrays(NpzWriterOptions options) {
  NpzWriter writer(options);
  writer.Add("predictor/l1/W", Range<float>({7, 13}));
  writer.Add("predictor/l1/b", Range<double>({7}));
  writer.Add("labels", Range<int32_t>({5, 1}));
  writer.Add("order", Range<int64_t>({9}));
  writer.Add("pixels", Range<uint8_t>({2, 3, 5, 5}));
  writer.Add("scalar", Range<int64_t>(Shape{}));
  writer.Add("none", Tensor(DType::kFloat32, {0, 4}));
  return writer;
}

class NpzOptions : public testing::TestWithParam<NpzWriterOptions> {};

TEST_P(NpzOptions, ReadsBackWhatItWrote) {
  const NpzReader reader = FromMemory(SomeArrays(GetParam()).ToBytes());
  EXPECT_EQ(reader.names(),
            (std::vector<std::string>{"labels", "none", "order", "pixels", "predictor/l1/W",
                                      "predictor/l1/b", "scalar"}));
  const auto arrays = reader.ReadAll();
  EXPECT_EQ(arrays.at("predictor/l1/W").shape(), Shape({7, 13}));
  EXPECT_EQ(Values<float>(arrays.at("predictor/l1/W")), Values<float>(Range<float>({7, 13})));
  EXPECT_EQ(Values<double>(arrays.at("predictor/l1/b")), Values<double>(Range<double>({7})));
  EXPECT_EQ(Values<int32_t>(arrays.at("labels")), Values<int32_t>(Range<int32_t>({5})));
  EXPECT_EQ(Values<int64_t>(arrays.at("order")), Values<int64_t>(Range<int64_t>({9})));
  EXPECT_EQ(Values<uint8_t>(arrays.at("pixels")), Values<uint8_t>(Range<uint8_t>({150})));
  EXPECT_EQ(arrays.at("scalar").shape(), Shape{});
  EXPECT_EQ(arrays.at("none").shape(), Shape({0, 4}));
}

TEST_P(NpzOptions, SameArraysGiveSameBytesForAnyThreadsAndOrder) {
  NpzWriterOptions one_thread = GetParam();
  one_thread.threads = 1;
  NpzWriter backwards(GetParam());
  backwards.Add("b", Range<float>({300}));
  backwards.Add("a", Range<float>({500}));
  NpzWriter forwards(one_thread);
  forwards.Add("a", Range<float>({500}));
  forwards.Add("b", Range<float>({300}));
  EXPECT_EQ(backwards.ToBytes(), forwards.ToBytes());
}

INSTANTIATE_TEST_SUITE_P(
    All, NpzOptions,
    testing::Values(NpzWriterOptions{.compress = true}, NpzWriterOptions{.compress = false},
                    NpzWriterOptions{.compress = true, .level = 1, .force_zip64 = true},
                    NpzWriterOptions{.compress = false, .force_zip64 = true}),
    [](const auto& info) {
      return std::string(info.param.compress ? "deflated" : "stored") +
             (info.param.force_zip64 ? "_zip64" : "");
    });

TEST_P(NpzOptions, HeadersAreThoseOfTheArrays) {
  const NpzReader reader = FromMemory(SomeArrays(GetParam()).ToBytes());
  for (const auto& [name, array] : reader.ReadAll()) {
    EXPECT_EQ(reader.ReadHeader(name).shape, array.shape()) << name;
    EXPECT_EQ(reader.ReadHeader(name).descr, NpyDescr(array.dtype())) << name;
  }
}

// Bytes that do not shrink, some thousand equal ones, and both in turns.
std::vector<uint8_t> HardToPack(int kind, size_t size) {
  std::vector<uint8_t> bytes(size);
  uint32_t state = 7;
  for (size_t i = 0; i < size; ++i) {
    state = state * 1664525 + 1013904223;
    if (kind == 0 || (kind == 2 && i / 700 % 2 == 0)) bytes[i] = static_cast<uint8_t>(state >> 24);
  }
  return bytes;
}

TEST(Npz, HeadersAreReadWithoutTheArrays) {
  for (const bool compress : {false, true}) {
    for (const int level : {1, 6, 12}) {
      NpzWriter writer({.compress = compress, .level = level});
      for (const int kind : {0, 1, 2}) {
        writer.Add("big" + std::to_string(kind),
                   Tensor::FromValues<uint8_t>(Shape({100003}), HardToPack(kind, 100003)));
      }
      std::vector<uint8_t> bytes = writer.ToBytes();
      const auto headers_are_right = [&] {
        const NpzReader reader = FromMemory(bytes);
        for (const std::string& name : reader.names()) {
          EXPECT_EQ(reader.ReadHeader(name).shape, Shape({100003}));
          EXPECT_EQ(reader.ReadHeader(name).descr, "|u1");
        }
      };
      headers_are_right();
      bytes[60000] ^= 1;  // in the middle of big0: only reading the whole member could notice
      headers_are_right();
      ExpectError(ExitCode::kBadData, {"big0"}, [&] { FromMemory(bytes).Read("big0"); });
    }
  }
}

TEST(Npz, LongHeadersAreReadToo) {
  std::string npy = NpyHeaderText("<f4", Shape({1}));
  npy.insert(npy.size() - 1, 8192, ' ');
  const size_t length = npy.size() - 10;
  npy[8] = static_cast<char>(length & 0xFF);
  npy[9] = static_cast<char>(length >> 8);
  npy += std::string(4, '\0');
  const std::vector<uint8_t> member(npy.begin(), npy.end());
  for (const bool compress : {false, true}) {
    std::vector<uint8_t> archive;
    ZipWriter zip([&](std::span<const uint8_t> piece) {
      archive.insert(archive.end(), piece.begin(), piece.end());
    });
    const std::vector<uint8_t> packed = compress ? Compressor(6).Deflate(member) : member;
    zip.Add("x.npy", {member}, compress ? packed : std::vector<uint8_t>{});
    zip.Finish();
    EXPECT_EQ(FromMemory(archive).ReadHeader("x").shape, Shape({1}));
  }
}

TEST(Npz, HeaderOfMoreElementsThanBytesIsRefused) {
  const std::string npy = NpyHeaderText("<f4", Shape({3000000, 784})) + "four";
  const std::vector<uint8_t> member(npy.begin(), npy.end());
  std::vector<uint8_t> archive;
  ZipWriter zip([&](std::span<const uint8_t> piece) {
    archive.insert(archive.end(), piece.begin(), piece.end());
  });
  zip.Add("x.npy", {member}, {});
  zip.Finish();
  ExpectError(ExitCode::kBadData, {"'x'", "shape (3000000, 784) in a member of 132 bytes"},
              [&] { FromMemory(archive).ReadHeader("x"); });
}

TEST(Npz, TextAndBoolSurvive) {
  NpzWriter writer;
  const std::string text = "[{\"epoch\": 1}] \xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80";
  writer.AddText("log", text);
  writer.AddText("empty", "");
  writer.AddBool("yes", true);
  const NpzReader reader = FromMemory(writer.ToBytes());
  EXPECT_EQ(reader.ReadText("log"), text);
  EXPECT_EQ(reader.ReadText("empty"), "");
  EXPECT_EQ(reader.Read("yes").values<uint8_t>()[0], 1);
  EXPECT_EQ(reader.ReadHeader("yes").kind, 'b');
  ExpectError(ExitCode::kBadData, {"log", "<U"}, [&] { reader.Read("log"); });
}

TEST(Npz, MissingArrayNamesWhatThereIs) {
  const NpzReader reader = FromMemory(SomeArrays({}).ToBytes());
  ExpectError(ExitCode::kBadData, {"memory.npz", "'data'", "labels, none"},
              [&] { reader.Read("data"); });
}

TEST(Npz, WriterRefusesNamesNoReaderMayTake) {
  NpzWriter writer;
  writer.Add("twice", Range<float>({1}));
  for (const std::string name : {"/abs", "a/../b", "../b", "back\\slash", "twice"}) {
    ExpectError(ExitCode::kUsage, {}, [&] { writer.Add(name, Range<float>({1})); });
  }
  ExpectError(ExitCode::kUsage, {"\\x00"},
              [&] { writer.Add(std::string("n\0l", 3), Range<float>({1})); });
}

TEST(Npz, FileThatShrinksWhileReadIsAnIoError) {
  TemporaryDirectory dir;
  NpzWriter writer({.compress = false});
  writer.Add("data", Range<float>({100000}));
  const std::string path = dir.Write("x.npz", writer.ToBytes());
  const NpzReader reader(path);
  std::filesystem::resize_file(path, 5000);
  ExpectError(ExitCode::kIo, {"x.npz", "became shorter"}, [&] { reader.Read("data"); });
}

}  // namespace
}  // namespace lockstep
