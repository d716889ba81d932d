#include "data/npz.h"

#include <gtest/gtest.h>

#include <numeric>

#include "tests/data/expect_error.h"
#include "tests/data/temp_dir.h"

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
                    NpzWriterOptions{.compress = false, .force_zip64 = true}));

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
  TempDir dir;
  NpzWriter writer({.compress = false});
  writer.Add("data", Range<float>({100000}));
  const std::string path = dir.Write("x.npz", writer.ToBytes());
  const NpzReader reader(path);
  std::filesystem::resize_file(path, 5000);
  ExpectError(ExitCode::kIo, {"x.npz", "became shorter"}, [&] { reader.Read("data"); });
}

}  // namespace
}  // namespace lockstep
