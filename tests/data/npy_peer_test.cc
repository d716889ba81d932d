// Npy and npz files of NumPy, for NumPy, and damaged ones as NumPy sees them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "data/npy.h"
#include "data/npz.h"
#include "kernels/error.h"
#include "tests/data/numpy_peer.h"
#include "tests/temporary_directory.h"

namespace lockstep {
namespace {

// What the peer prints for this file; "refused" when it cannot be read.
std::string DigestFile(const std::vector<uint8_t>& bytes) {
  try {
    const Bytes file = Bytes::Copy(bytes);
    if (bytes.size() < 2 || bytes[0] != 'P') return Digest(ParseNpy(file, "x.npy"));
    std::string text;
    for (const auto& [name, tensor] : NpzReader(InputFile::FromMemory(file, "x.npz")).ReadAll(1)) {
      text += (text.empty() ? "" : " ") + name + "=" + Digest(tensor);
    }
    return text;
  } catch (const FormatError&) {
    return "refused";
  }
}

class NumpyPeer : public testing::Test {
 protected:
  void SetUp() override {
    python_ = NumpyPython();
    if (!python_) GTEST_SKIP() << "no Python with NumPy: set LOCKSTEP_PYTHON";
  }

  std::vector<std::string> AskNumpy(const std::vector<std::vector<uint8_t>>& files) {
    std::vector<uint8_t> joined;
    for (const std::vector<uint8_t>& file : files) {
      for (int shift = 0; shift < 32; shift += 8) {
        joined.push_back(static_cast<uint8_t>(file.size() >> shift & 255));
      }
      joined.insert(joined.end(), file.begin(), file.end());
    }
    const std::string path = dir_.Write("files", joined);
    RunNumpyPeer(*python_, "digest '" + path + "' '" + path + ".out'");
    return ReadLines(path + ".out");
  }

  // A flipped file is refused, or read as NumPy reads it, or as if it were whole.
  void FlipEveryBit(const std::vector<uint8_t>& file) {
    const std::string whole = DigestFile(file);
    ASSERT_NE(whole, "refused");
    std::vector<std::vector<uint8_t>> accepted;
    std::vector<std::string> digests;
    for (size_t bit = 0; bit < file.size() * 8; ++bit) {
      std::vector<uint8_t> flipped = file;
      flipped[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
      const std::string digest = DigestFile(flipped);
      if (digest == "refused" || digest == whole) continue;
      accepted.push_back(flipped);
      digests.push_back(digest);
    }
    EXPECT_EQ(AskNumpy(accepted), digests);
  }

  std::optional<std::string> python_;
  TemporaryDirectory dir_;
};

TEST_F(NumpyPeer, EveryVariantItWritesIsReadAlike) {
  RunNumpyPeer(*python_, "write '" + dir_.path() + "'");
  const std::vector<std::string> lines = ReadLines(dir_ / "expected");
  EXPECT_GT(lines.size(), 700U);
  for (const std::string& line : lines) {
    const size_t space = line.find(' ');
    const std::string path = line.substr(0, space);
    EXPECT_EQ(DigestFile(ReadBytes(path)), line.substr(space + 1)) << path;
  }
}

TEST_F(NumpyPeer, ReadsWhatIsWrittenHere) {
  std::vector<std::vector<uint8_t>> files;
  std::vector<std::string> digests;
  for (const bool compress : {false, true}) {
    for (const bool zip64 : {false, true}) {
      NpzWriter writer({.compress = compress, .force_zip64 = zip64});
      writer.Add("predictor/l1/W", Tensor(DType::kFloat32, {100, 7}));
      writer.Add("b", Tensor(DType::kFloat64, {0, 7}));
      writer.Add("umlaut \xC3\xA4", Tensor(DType::kInt64, Shape{}));
      writer.AddBool("flag", true);
      files.push_back(writer.ToBytes());
    }
  }
  for (const DType dtype :
       {DType::kFloat32, DType::kFloat64, DType::kInt32, DType::kInt64, DType::kUint8}) {
    for (const Shape& shape : {Shape{}, Shape{3}, Shape{2, 0}, Shape{1, 2, 3, 4, 5, 6, 7, 8}}) {
      files.push_back(WriteNpy(Tensor(dtype, shape)));
    }
  }
  for (const auto& file : files) digests.push_back(DigestFile(file));
  EXPECT_EQ(AskNumpy(files), digests);
  EXPECT_EQ(std::count(digests.begin(), digests.end(), "refused"), 0);
}

// Real files of Chainer; those with text members are refused by both sides' ReadAll.
TEST_F(NumpyPeer, ReadsTheFilesOfChainerAlike) {
  const char* chosen = std::getenv("LOCKSTEP_SHARED_DIR");
  const std::filesystem::path shared = chosen != nullptr ? chosen : LOCKSTEP_SHARED_DIR;
  if (!std::filesystem::exists(shared / "fixtures/chainer")) {
    GTEST_SKIP() << shared << " holds no fixtures";
  }
  std::vector<std::vector<uint8_t>> files;
  std::vector<std::string> digests;
  for (const auto& entry : std::filesystem::directory_iterator(shared / "fixtures/chainer")) {
    const std::string ending = entry.path().extension();
    if (ending != ".npz" && ending != ".npy") continue;
    files.push_back(ReadBytes(entry.path()));
    digests.push_back(DigestFile(files.back()));
  }
  EXPECT_GT(files.size(), 20U);
  EXPECT_EQ(AskNumpy(files), digests);
}

TEST_F(NumpyPeer, FlippedNpyIsRefusedOrReadAlike) {
  Tensor tensor(DType::kFloat32, {2, 3});
  tensor.values<float>()[4] = 1.5F;
  FlipEveryBit(WriteNpy(tensor));
  FlipEveryBit(WriteNpy(Tensor(DType::kInt64, {3})));
  FlipEveryBit(WriteNpy(Tensor(DType::kUint8, Shape{})));
}

TEST_F(NumpyPeer, FlippedNpzIsRefusedOrReadAlike) {
  for (const bool compress : {false, true}) {
    NpzWriter writer({.compress = compress});
    writer.Add("data", Tensor(DType::kFloat32, {3, 2}));
    writer.Add("labels", Tensor(DType::kInt32, {3}));
    FlipEveryBit(writer.ToBytes());
  }
}

}  // namespace
}  // namespace lockstep
