#include "engine/train/checkpoint_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <vector>

#include "engine/train/crc32c.h"
#include "engine/train/publish.h"
#include "kernels/error.h"
#include "tests/engine/compare.h"
#include "tests/temporary_directory.h"

namespace lockstep {
namespace {

template <typename T>
Tensor Counting(const Shape& shape, double first) {
  Tensor tensor(DTypeOf<T>(), shape);
  for (T& value : tensor.values<T>()) value = static_cast<T>(first++);
  return tensor;
}

CheckpointContents Sample() {
  CheckpointContents contents;
  contents.tensors["predictor/fc/W"] = Counting<float>({3, 5}, -7.5);
  contents.tensors["predictor/bn/avg_mean"] = Counting<double>({7}, 0.25);
  contents.tensors["order"] = Counting<int64_t>({2, 1, 3}, -2);
  contents.tensors["labels"] = Counting<int32_t>({5}, 1);
  contents.tensors["bytes"] = Counting<uint8_t>({1, 1, 13}, 250);
  contents.tensors["scalar"] = Counting<float>(Shape{}, 3);
  contents.tensors["none"] = Tensor(DType::kFloat32, Shape{4, 0, 2});
  contents.values["iteration"] = std::numeric_limits<int64_t>::min();
  contents.values["loss"] = -0.0;
  contents.values["worst"] = std::numeric_limits<double>::infinity();
  contents.values["optimizer"] = std::string("momentum\n\0sgd", 13);
  contents.values["empty"] = std::string();
  return contents;
}

void ExpectSame(const CheckpointContents& a, const CheckpointContents& b) {
  EXPECT_EQ(a.values, b.values);
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (const auto& [name, tensor] : a.tensors) {
    ASSERT_TRUE(b.tensors.contains(name)) << name;
    EXPECT_TRUE(SameBits(tensor, b.tensors.at(name))) << name;
  }
}

std::vector<std::byte> Encoded(const CheckpointContents& contents) {
  TemporaryDirectory dir;
  WriteCheckpoint(dir / "c", contents);
  const std::string text = ReadFile(dir / "c");
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

std::string MessageOf(std::span<const std::byte> data) {
  try {
    ParseCheckpoint(data, "c.lsc");
  } catch (const FormatError& error) {
    EXPECT_EQ(error.code(), ExitCode::kBadData);
    return error.what();
  }
  return "";
}

// Makes the header's sum right again after a change.
void Seal(std::vector<std::byte>* data) {
  uint64_t header = 0;
  std::memcpy(&header, data->data() + 24, sizeof(header));
  const uint32_t sum = Crc32c(std::span(*data).first(header - 4));
  std::memcpy(data->data() + header - 4, &sum, sizeof(sum));
}

// The first place of `text`, which is in the data.
size_t Find(const std::vector<std::byte>& data, const std::string& text) {
  const std::string all(reinterpret_cast<const char*>(data.data()), data.size());
  return all.find(text);
}

template <typename T>
void Put(std::vector<std::byte>* data, size_t offset, T value) {
  std::memcpy(data->data() + offset, &value, sizeof(value));
}

TEST(CheckpointFile, ReturnsWhatWasWritten) {
  TemporaryDirectory dir;
  const CheckpointTable written = WriteCheckpoint(dir / "c", Sample());
  EXPECT_EQ(std::filesystem::file_size(dir / "c"), written.file_bytes);
  ExpectSame(ReadCheckpoint(dir / "c"), Sample());
  ExpectSame(ParseCheckpoint(Encoded(Sample()), "c"), Sample());
  const CheckpointTable table = ReadCheckpointTable(dir / "c");
  EXPECT_EQ(table.crc32c, written.crc32c);
  EXPECT_EQ(table.arrays.size(), 7U);
}

TEST(CheckpointFile, KeepsTheBitsOfNans) {
  CheckpointContents contents;
  contents.tensors["x"] = Tensor(DType::kFloat32, {2});
  const std::array<uint32_t, 2> bits = {0x7fc12345, 0xff800001};
  std::memcpy(contents.tensors["x"].data(), bits.data(), sizeof(bits));
  const CheckpointContents back = ParseCheckpoint(Encoded(contents), "c");
  EXPECT_EQ(std::memcmp(back.tensors.at("x").data(), bits.data(), sizeof(bits)), 0);
}

TEST(CheckpointFile, MayBeEmpty) { ExpectSame(ParseCheckpoint(Encoded({}), "c"), {}); }

TEST(CheckpointFile, IsTheSameBytesForTheSameContents) {
  EXPECT_EQ(Encoded(Sample()), Encoded(Sample()));
}

// The bytes of docs/checkpoint.md; a change of them is a new version.
TEST(CheckpointFile, HasTheDocumentedBytes) {
  CheckpointContents contents;
  contents.tensors["w"] = Counting<int32_t>({2}, 1);
  contents.values["n"] = int64_t{5};
  const std::vector<std::byte> data = Encoded(contents);
  std::string wanted(std::string("\x93LSC\r\n\x1a\n\1\0\0\0\0\0\0\0", 16));
  wanted += std::string("\x88\0\0\0\0\0\0\0\x80\0\0\0\0\0\0\0\1\0\0\0\1\0\0\0", 24);
  wanted += std::string("\1\0n\1\5\0\0\0\0\0\0\0", 12);
  wanted += std::string("\1\0w\3\1\2\0\0\0\0\0\0\0\x80\0\0\0\0\0\0\0\x8\0\0\0\0\0\0\0", 29);
  const std::array<int32_t, 2> elements = {1, 2};
  const uint32_t sum = Crc32c(std::as_bytes(std::span(elements)));
  wanted.append(reinterpret_cast<const char*>(&sum), sizeof(sum));
  wanted.append(124 - wanted.size(), '\0');
  const uint32_t header_sum = Crc32c(std::as_bytes(std::span(wanted)));
  wanted.append(reinterpret_cast<const char*>(&header_sum), sizeof(header_sum));
  wanted.append(reinterpret_cast<const char*>(elements.data()), sizeof(elements));
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(data.data()), data.size()), wanted);
}

TEST(CheckpointFile, EveryCutIsDetected) {
  const std::vector<std::byte> data = Encoded(Sample());
  for (size_t size = 0; size < data.size(); ++size) {
    ASSERT_NE(MessageOf(std::span(data).first(size)), "") << size;
  }
  std::vector<std::byte> longer = data;
  longer.push_back(std::byte{0});
  EXPECT_NE(MessageOf(longer), "");
}

TEST(CheckpointFile, EveryFlippedBitIsDetectedAsDamage) {
  std::vector<std::byte> data = Encoded(Sample());
  for (size_t bit = 0; bit < 8 * data.size(); ++bit) {
    const auto mask = static_cast<std::byte>(1 << (bit % 8));
    data[bit / 8] ^= mask;
    const std::string message = MessageOf(data);
    ASSERT_NE(message, "") << bit;
    ASSERT_EQ(message.find("newer"), std::string::npos) << message;
    data[bit / 8] ^= mask;
  }
}

TEST(CheckpointFile, NamesTheDamagedArray) {
  std::vector<std::byte> data = Encoded(Sample());
  data.back() ^= std::byte{1};
  EXPECT_EQ(MessageOf(data).find("c.lsc: array \"scalar\" at byte "), 0U) << MessageOf(data);
}

TEST(CheckpointFile, ANewerVersionIsNamed) {
  std::vector<std::byte> data = Encoded(Sample());
  Put(&data, 8, uint32_t{7});
  Seal(&data);
  EXPECT_THROW(ParseCheckpoint(data, "c"), NewerVersionError);
  EXPECT_NE(MessageOf(data).find("written by version 7 of the format, this program reads <= 1"),
            std::string::npos);
}

// Headers whose sum is right and whose content lies, as an attacker would write them.
TEST(CheckpointFile, RefusesHostileTables) {
  const std::vector<std::byte> good = Encoded(Sample());
  const size_t w = Find(good, "predictor/fc/W") + 14;  // dtype, ndim, dims, offset, bytes
  ASSERT_EQ(std::to_integer<int>(good[w]), 1);
  const std::vector<std::function<void(std::vector<std::byte>*)>> changes = {
      [](auto* d) { Put(d, 12, uint32_t{1}); },                      // reserved
      [](auto* d) { Put(d, 8, uint32_t{0}); },                       // version
      [](auto* d) { Put(d, 32, uint32_t{0xffffffff}); },             // values
      [](auto* d) { Put(d, 36, uint32_t{0xffffffff}); },             // arrays
      [](auto* d) { Put(d, 36, uint32_t{6}); },                      // one array less
      [](auto* d) { Put(d, 40, uint16_t{0}); },                      // no name
      [](auto* d) { Put(d, 40, uint16_t{0xffff}); },                 // name beyond the header
      [w](auto* d) { Put(d, w, uint8_t{0}); },                       // dtype
      [w](auto* d) { Put(d, w, uint8_t{6}); },                       //
      [w](auto* d) { Put(d, w, uint8_t{2}); },                       // bytes do not fit it
      [w](auto* d) { Put(d, w + 1, uint8_t{200}); },                 // dimensions
      [w](auto* d) { Put(d, w + 2, int64_t{-3}); },                  // extents
      [w](auto* d) { Put(d, w + 2, int64_t{1} << 62); },             //
      [w](auto* d) { Put(d, w + 18, uint64_t{1} << 63); },           // offset
      [w](auto* d) { Put(d, w + 18, uint64_t{0}); },                 //
      [w](auto* d) { Put(d, w + 18, ~uint64_t{0}); },                //
      [w](auto* d) { Put(d, w + 26, ~uint64_t{0}); },                // bytes
      [&](auto* d) { (*d)[Find(good, "order")] = std::byte{'a'}; },  // names out of order
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    std::vector<std::byte> data = good;
    changes[i](&data);
    ASSERT_NE(data, good) << i;
    Seal(&data);
    EXPECT_NE(MessageOf(data), "") << i;
  }
}

// A size that damage made of the header's must not become a request for as much memory.
TEST(CheckpointFile, AHugeHeaderIsRefusedWithoutItsMemory) {
  TemporaryDirectory dir;
  std::string prefix = ReadFile((WriteCheckpoint(dir / "c", Sample()), dir / "c")).substr(0, 32);
  const uint64_t huge = uint64_t{1} << 29;
  std::memcpy(prefix.data() + 16, &huge, sizeof(huge));  // bytes of the file
  std::memcpy(prefix.data() + 24, &huge, sizeof(huge));  // of the header
  std::ofstream(dir / "huge", std::ios::binary) << prefix;
  std::filesystem::resize_file(dir / "huge", huge);  // a hole
  rusage before{}, after{};
  ASSERT_EQ(getrusage(RUSAGE_SELF, &before), 0);
  EXPECT_THROW(ReadCheckpoint(dir / "huge"), FormatError);
  EXPECT_THROW(ReadCheckpointTable(dir / "huge"), FormatError);
  ASSERT_EQ(getrusage(RUSAGE_SELF, &after), 0);
  EXPECT_LT(after.ru_maxrss - before.ru_maxrss, 100 << 10);  // kB
}

TEST(CheckpointFile, MissingFilesDirectoriesAndPipesAre66) {
  TemporaryDirectory dir;
  ASSERT_EQ(::mkfifo((dir / "pipe").c_str(), 0600), 0);
  for (const std::string& path : {dir / "absent", dir.path(), dir / "pipe"}) {
    try {
      ReadCheckpoint(path);
      ADD_FAILURE() << path;
    } catch (const IoError& error) {
      EXPECT_EQ(error.code(), ExitCode::kNoInput) << error.what();
    }
  }
}

TEST(CheckpointFile, AnOverlongNameIsRefusedBeforeAnythingIsWritten) {
  TemporaryDirectory dir;
  CheckpointContents contents;
  contents.values[std::string(70000, 'n')] = 1.0;
  EXPECT_THROW(WriteCheckpoint(dir / "c", contents), FormatError);
  contents.values = {{"", 1.0}};
  EXPECT_THROW(WriteCheckpoint(dir / "c", contents), FormatError);
  EXPECT_TRUE(dir.Names().empty());
}

TEST(CheckpointContents, NamesWhatDoesNotFit) {
  const CheckpointContents contents = Sample();
  EXPECT_EQ(contents.Integer("iteration"), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(contents.Text("empty"), "");
  EXPECT_TRUE(std::signbit(contents.Real("loss")));
  EXPECT_EQ(contents.Array("labels", {{5}, DType::kInt32}).bytes(), 20U);
  try {
    contents.Array("predictor/fc/W", {{4, 5}, DType::kFloat32});
    ADD_FAILURE();
  } catch (const ShapeError& error) {
    EXPECT_EQ(error.code(), ExitCode::kDisagree);
    EXPECT_NE(std::string(error.what())
                  .find("\"predictor/fc/W\" is float32 (3, 5), the network wants float32 (4, 5)"),
              std::string::npos)
        << error.what();
  }
  EXPECT_THROW(contents.Array("absent", {}), ShapeError);
  EXPECT_THROW(contents.Integer("loss"), ShapeError);
  EXPECT_THROW(contents.Text("absent"), ShapeError);
}

}  // namespace
}  // namespace lockstep
