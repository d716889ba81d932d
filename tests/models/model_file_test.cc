// What loads and what does not: the table of chainer.serializers.load_npz.
#include "models/model_file.h"

#include <gtest/gtest.h>

#include <numeric>

#include "data/zip_writer.h"
#include "engine/graph/layers.h"
#include "kernels/error.h"
#include "tests/engine/compare.h"
#include "tests/engine/gradient_check.h"
#include "tests/engine/network_runner.h"
#include "tests/temporary_directory.h"

namespace lockstep {
namespace {

template <typename T>
Tensor Range(const Shape& shape) {
  std::vector<T> values(static_cast<size_t>(shape.size()));
  std::iota(values.begin(), values.end(), T{1});
  return Tensor::FromValues<T>(shape, values);
}

class ModelFile : public testing::Test {
 protected:
  // predictor/l1/W (2, 3), predictor/l1/b (2,), predictor/bn/...
  ModelFile() {
    const Var x = graph_.Input("x", {{3}, DType::kFloat32});
    LabelLoss(graph_, BatchNorm(Linear(x, {.out = 2}, "predictor/l1"), {}, "predictor/bn"));
    runner_ = std::make_unique<NetworkRunner>(device_, graph_, DType::kFloat32);
    RandomParameters(variables(), 3);
    for (const auto& entry : variables().entries())
      arrays_[entry.name] = variables().Get(entry.name);
  }

  Variables& variables() { return runner_->variables; }
  std::string Write(const NamedTensors& arrays) {
    NpzWriter writer;
    for (const auto& [name, array] : arrays) writer.Add(name, array);
    return directory_.Write("model.npz", writer.ToBytes());
  }
  // Loads the network's own arrays with one replaced.
  LoadNpzReport LoadWith(const std::string& name, const Tensor& array,
                         const LoadNpzOptions& options = {}) {
    NamedTensors arrays = arrays_;
    arrays[name] = array;
    return LoadModelNpz(Write(arrays), variables(), options);
  }
  template <typename Function>
  static std::string MessageOf(const Function& function) {
    try {
      function();
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing was thrown";
  }
  template <typename T>
  std::vector<T> Values(const std::string& name) {
    const Tensor tensor = variables().Get(name);
    const auto values = tensor.values<T>();
    return {values.begin(), values.end()};
  }

  TemporaryDirectory directory_;
  Graph graph_;
  TestDevice device_;
  std::unique_ptr<NetworkRunner> runner_;
  NamedTensors arrays_;
};

TEST_F(ModelFile, ReadsBackWhatItWrote) {
  SaveModelNpz(variables(), directory_ / "model.npz");
  const std::string hash = WeightsHash(variables());
  variables().Initialize(9);
  EXPECT_NE(WeightsHash(variables()), hash);
  const LoadNpzReport report = LoadModelNpz(directory_ / "model.npz", variables());
  EXPECT_EQ(report.loaded.size(), 7U);
  EXPECT_EQ(report.extra, 0);
  EXPECT_EQ(WeightsHash(variables()), hash);
  for (const auto& [name, array] : arrays_) EXPECT_TRUE(SameBits(variables().Get(name), array));
}

TEST_F(ModelFile, HasChainersKeysInOrderAndTheSameBytesEachTime) {
  SaveModelNpz(variables(), directory_ / "a.npz");
  SaveModelNpz(variables(), directory_ / "b.npz");
  EXPECT_EQ(ReadBytes(directory_ / "a.npz"), ReadBytes(directory_ / "b.npz"));
  const NpzReader file(directory_ / "a.npz");
  EXPECT_EQ(file.names(),
            (std::vector<std::string>{"predictor/bn/N", "predictor/bn/avg_mean",
                                      "predictor/bn/avg_var", "predictor/bn/beta",
                                      "predictor/bn/gamma", "predictor/l1/W", "predictor/l1/b"}));
  EXPECT_EQ(file.ReadHeader("predictor/bn/N").descr, "<i8");
  EXPECT_EQ(file.ReadHeader("predictor/bn/N").shape, Shape({}));
  EXPECT_EQ(file.ReadHeader("predictor/l1/W").descr, "<f4");
}

TEST_F(ModelFile, CastsAnyNumber) {
  for (const DType dtype : {DType::kFloat64, DType::kInt32, DType::kInt64, DType::kUint8}) {
    LoadWith("predictor/l1/W", Range<float>({2, 3}).Cast(dtype));
    EXPECT_EQ(Values<float>("predictor/l1/W"), (std::vector<float>{1, 2, 3, 4, 5, 6}));
  }
}

TEST_F(ModelFile, BroadcastsAsNumpyDoes) {
  using Floats = std::vector<float>;
  const struct {
    Tensor from;
    Floats wanted;
  } cases[] = {{Range<float>({}), {1, 1, 1, 1, 1, 1}},
               {Range<float>({1}), {1, 1, 1, 1, 1, 1}},
               {Range<float>({3}), {1, 2, 3, 1, 2, 3}},
               {Range<float>({2, 1}), {1, 1, 1, 2, 2, 2}},
               {Range<float>({1, 1, 3}), {1, 2, 3, 1, 2, 3}}};
  for (const auto& c : cases) {
    const LoadNpzReport report = LoadWith("predictor/l1/W", c.from);
    EXPECT_EQ(Values<float>("predictor/l1/W"), c.wanted) << c.from.shape().ToString();
    EXPECT_EQ(report.broadcast, (std::vector<std::string>{"predictor/l1/W"}));
  }
}

TEST_F(ModelFile, WrongShapeNamesBothAndChangesNothing) {
  const std::string hash = WeightsHash(variables());
  NamedTensors arrays = arrays_;
  arrays["predictor/bn/beta"] = Range<float>({2});
  arrays["predictor/l1/W"] = Range<float>({3, 2});
  const std::string path = Write(arrays);
  EXPECT_EQ(MessageOf([&] { LoadModelNpz(path, variables()); }),
            path +
                ": predictor/l1/W has shape (3, 2); the network wants (2, 3): another network, or "
                "other sizes, wrote this file");
  EXPECT_EQ(WeightsHash(variables()), hash);
  for (const Shape& shape : {Shape({2}), Shape({2, 2}), Shape({1, 2, 2, 3}), Shape({0, 3})}) {
    EXPECT_THROW(LoadWith("predictor/l1/W", Range<float>(shape)), ShapeError) << shape.ToString();
  }
}

TEST_F(ModelFile, CounterIsAnIntegerOfOneElement) {
  for (const DType dtype : {DType::kInt64, DType::kInt32, DType::kUint8}) {
    for (const Shape& shape : {Shape({}), Shape({1})}) {
      LoadWith("predictor/bn/N", Range<int64_t>(shape).Cast(dtype));
      EXPECT_EQ(Values<int64_t>("predictor/bn/N"), (std::vector<int64_t>{1}));
    }
  }
  EXPECT_NE(MessageOf([&] {
              LoadWith("predictor/bn/N", Range<float>({}));
            }).find("predictor/bn/N is float32; wanted a whole number"),
            std::string::npos);
  EXPECT_THROW(LoadWith("predictor/bn/N", Range<int64_t>({2})), ShapeError);
}

TEST_F(ModelFile, MissingKeyIsAnErrorThatNamesTheNearest) {
  NamedTensors arrays = arrays_;
  arrays["predictor/l1/w"] = arrays.extract("predictor/l1/W").mapped();
  const std::string path = Write(arrays);
  EXPECT_EQ(MessageOf([&] { LoadModelNpz(path, variables()); }),
            path +
                ": 'predictor/l1/W' is not a file in the archive; the network wants it for (2, "
                "3); nearest: predictor/l1/b, predictor/l1/w, predictor/bn/N");
}

TEST_F(ModelFile, MissingKeyKeepsItsValueWhenNotStrict) {
  NamedTensors arrays = arrays_;
  arrays.erase("predictor/l1/W");
  arrays["predictor/l1/b"] = Range<float>({2});
  arrays["extra"] = Range<float>({2});
  const LoadNpzReport report = LoadModelNpz(Write(arrays), variables(), {.strict = false});
  EXPECT_EQ(report.missing, (std::vector<std::string>{"predictor/l1/W"}));
  EXPECT_EQ(report.extra, 1);
  EXPECT_TRUE(SameBits(variables().Get("predictor/l1/W"), arrays_["predictor/l1/W"]));
  EXPECT_EQ(Values<float>("predictor/l1/b"), (std::vector<float>{1, 2}));
}

TEST_F(ModelFile, FindsThePrefixByItself) {
  for (const std::string prefix : {"", "updater/model:main/"}) {
    for (const bool head : {true, false}) {
      NamedTensors arrays;
      for (const auto& [name, array] : arrays_) {
        arrays[prefix + (head ? name : name.substr(std::string("predictor/").size()))] = array;
      }
      variables().Initialize(9);
      const LoadNpzReport report = LoadModelNpz(Write(arrays), variables());
      EXPECT_EQ(report.prefix, prefix);
      EXPECT_TRUE(SameBits(variables().Get("predictor/l1/W"), arrays_["predictor/l1/W"]));
    }
  }
}

TEST_F(ModelFile, TakesAGivenPrefixLiterally) {
  NamedTensors arrays;
  for (const auto& [name, array] : arrays_) arrays["updater/model:main/" + name] = array;
  const std::string path = Write(arrays);
  LoadModelNpz(path, variables(), {.prefix = "updater/model:main/"});
  EXPECT_THROW(LoadModelNpz(path, variables(), {.prefix = "updater/model:main"}), FormatError);
  EXPECT_THROW(LoadModelNpz(path, variables(), {.prefix = ""}), FormatError);
}

TEST_F(ModelFile, LoadsOnlyWhatThePatternsChoose) {
  NamedTensors arrays{{"predictor/l1/W", Range<float>({2, 3})}};
  const LoadNpzReport report = LoadModelNpz(Write(arrays), variables(), {.globs = {"*/l1/W"}});
  EXPECT_EQ(report.loaded, (std::vector<std::string>{"predictor/l1/W"}));
  EXPECT_TRUE(SameBits(variables().Get("predictor/l1/b"), arrays_["predictor/l1/b"]));
  EXPECT_THROW(LoadModelNpz(Write(arrays), variables(), {.globs = {"nothing"}}), ConfigError);
}

// What numpy.save writes for None: a pickle of protocol 3 behind dtype |O.
std::vector<uint8_t> PickledNone() {
  const std::string header = NpyHeaderText("|O", Shape({}));
  std::vector<uint8_t> bytes(header.begin(), header.end());
  for (const int byte : {0x80, 0x03, 0x4E, 0x2E}) bytes.push_back(static_cast<uint8_t>(byte));
  return bytes;
}

TEST_F(ModelFile, NetworkSavedBeforeItsFirstBatchIsUninitialised) {
  // NpzWriter writes numbers only, so this archive is put together from members.
  std::vector<uint8_t> file;
  {
    ZipWriter zip([&](std::span<const uint8_t> bytes) {
      file.insert(file.end(), bytes.begin(), bytes.end());
    });
    for (const auto& [name, array] : arrays_) {
      const auto member = name == "predictor/l1/W" ? PickledNone() : WriteNpy(array);
      zip.Add(name + ".npy", {member}, {});
    }
    zip.Finish();
  }
  const std::string path = directory_.Write("lazy.npz", file);
  EXPECT_EQ(MessageOf([&] { LoadModelNpz(path, variables()); }),
            path +
                ": predictor/l1/W is not initialised (a pickled None): the network was saved "
                "before its first batch; save it after one");
  const LoadNpzReport report = LoadModelNpz(path, variables(), {.strict = false});
  EXPECT_EQ(report.uninitialised, (std::vector<std::string>{"predictor/l1/W"}));
  EXPECT_EQ(report.loaded.size(), 6U);
}

TEST_F(ModelFile, FailedSaveLeavesTheOldFile) {
  SaveModelNpz(variables(), directory_ / "model.npz");
  const auto before = ReadBytes(directory_ / "model.npz");
  EXPECT_THROW(SaveModelNpz(variables(), directory_ / "missing/model.npz"), IoError);
  EXPECT_EQ(ReadBytes(directory_ / "model.npz"), before);
}

}  // namespace
}  // namespace lockstep
