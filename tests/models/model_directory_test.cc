#include "models/model_directory.h"

#include <gmock/gmock.h>

#include "kernels/error.h"
#include "models/describe.h"
#include "tests/engine/network_runner.h"
#include "tests/temporary_directory.h"

namespace lockstep {
namespace {

using testing::HasSubstr;

const ModelSpec kSpecs[] = {
    {.name = "mlp", .in_shape = {784}, .classes = 10, .hidden = {100, 50}},
    {.name = "mlp", .in_shape = {5}, .classes = 2, .hidden = {3}},
    {.name = "vgg", .in_shape = {3, 32, 32}, .classes = 5, .width = 0.125},
    {.name = "vgg", .in_shape = {1, 64, 64}, .classes = 4, .width = 0.0625},
    {.name = "lenet", .in_shape = {1, 28, 28}, .classes = 10},
    {.name = "lenet", .in_shape = {3, 32, 32}, .classes = 3, .width = 0.5},
    {.name = "dnn", .in_shape = {7}, .classes = 1, .hidden = {10, 10}},
};

class SavedModel {
 public:
  explicit SavedModel(const ModelSpec& spec)
      : model_(BuildModel(spec)), runner_(device_, *model_.graph, DType::kFloat32) {}
  Variables& variables() { return runner_.variables; }
  const ModelSpec& spec() const { return model_.spec; }

 private:
  Model model_;
  TestDevice device_;
  NetworkRunner runner_;
};

std::string MessageOf(const std::string& path) {
  try {
    FindModelDirectory(path);
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(ModelDirectory, OpensWhatWasSaved) {
  for (const ModelSpec& spec : kSpecs) {
    const TemporaryDirectory directory;
    SavedModel saved(spec), loaded(spec);
    saved.variables().Initialize(5);
    ModelCard card{.spec = saved.spec(), .input = {.scale = 0.5}, .iterations = 3};
    SaveModelDirectory(directory.path(), card, saved.variables());
    const FoundModel found = FindModelDirectory(directory.path());
    EXPECT_EQ(found.spec, saved.spec());
    EXPECT_EQ(found.input, card.input);
    EXPECT_EQ(LoadFoundModel(found, loaded.variables()), "");
    EXPECT_EQ(WeightsHash(loaded.variables()), WeightsHash(saved.variables()));
  }
}

TEST(ModelDirectory, KnowsABareFileByItsArrays) {
  for (const ModelSpec& spec : kSpecs) {
    const TemporaryDirectory directory;
    SavedModel saved(spec);
    SaveModelNpz(saved.variables(), directory / "model.npz");
    for (const std::string& path : {directory.path(), directory / "model.npz"}) {
      const FoundModel found = FindModelDirectory(path);
      EXPECT_EQ(found.spec, saved.spec()) << spec.name;
      EXPECT_FALSE(found.card);
    }
  }
}

TEST(ModelDirectory, SaysWhenTheCardIsOfOtherWeights) {
  const TemporaryDirectory directory;
  SavedModel saved(kSpecs[1]);
  SaveModelDirectory(directory.path(), {.spec = saved.spec()}, saved.variables());
  saved.variables().Initialize(77);
  SaveModelNpz(saved.variables(), directory / "model.npz");
  EXPECT_EQ(LoadFoundModel(FindModelDirectory(directory.path()), saved.variables()),
            (directory / "model.npz") +
                " is not the file that model.json beside it was written for: its weights have "
                "another SHA-256");
}

TEST(ModelDirectory, ReadsTheArraysAloneWhenTheCardIsOfAnotherNetwork) {
  const TemporaryDirectory directory;
  SavedModel saved(kSpecs[1]), old(kSpecs[0]), loaded(kSpecs[1]);
  SaveModelDirectory(directory.path(), {.spec = old.spec()}, old.variables());
  SaveModelNpz(saved.variables(), directory / "model.npz");  // killed before the second rename
  const FoundModel found = FindModelDirectory(directory.path());
  EXPECT_EQ(found.spec, saved.spec());
  EXPECT_FALSE(found.card);
  const std::string warning = LoadFoundModel(found, loaded.variables());
  EXPECT_NE(warning.find("model.json is not used, as it is of another network"), std::string::npos);
  EXPECT_EQ(WeightsHash(loaded.variables()), WeightsHash(saved.variables()));
}

TEST(ModelDirectory, ACardOfALargeNetworkAllocatesNothing) {
  const TemporaryDirectory directory;
  NpzWriter writer;
  writer.Add("predictor/l1/W", Tensor(DType::kFloat32, {1, 1}));
  for (const char* name : {"l1/b", "l2/W", "l2/b"}) {
    writer.Add(std::string("predictor/") + name, Tensor(DType::kFloat32, {1}));
  }
  const std::string weights = directory.Write("model.npz", writer.ToBytes());
  const ModelCard card{
      .spec = {.name = "mlp", .in_shape = {784}, .classes = 10, .hidden = {16'000'000}}};
  directory.Write("model.json", std::string_view(ToJson(card)));
  try {
    FindModelDirectory(directory.path());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kBadData);
    EXPECT_NE(std::string(error.what()).find("another network, or other sizes, wrote this file"),
              std::string::npos);
  }
}

TEST(ModelDirectory, SaysWhatIsMissing) {
  const TemporaryDirectory directory;
  EXPECT_EQ(MessageOf(directory.path()),
            "no model: there is no " + (directory / "model.npz") +
                "; give the directory that holds model.npz, or train one");
  EXPECT_THAT(MessageOf(directory / "absent"),
              HasSubstr("there is no " + (directory / "absent/model.npz;")));
  EXPECT_THAT(MessageOf(directory / "absent.npz"),
              HasSubstr("there is no " + (directory / "absent.npz;")));
  directory.Write("model.npz", std::string_view("no zip"));
  EXPECT_NE(MessageOf(directory.path()), "nothing was thrown");
}

TEST(Describe, ListsArraysAndSaysWhyItIsNoModel) {
  const TemporaryDirectory directory;
  NpzWriter writer;
  writer.Add("weights", Tensor(DType::kFloat32, {3, 4}));
  writer.Add("bias", Tensor(DType::kFloat64, {3}));
  const std::string path = directory.Write("any.npz", writer.ToBytes());
  const ModelDescription description = DescribeModelNpz(path);
  ASSERT_EQ(description.arrays.size(), 2U);
  EXPECT_EQ(description.arrays[0].key, "bias");
  EXPECT_EQ(description.arrays[0].type, "<f8");
  EXPECT_EQ(description.elements, 15);
  EXPECT_FALSE(description.spec);
  EXPECT_EQ(description.reason, "these are not the arrays of mlp, vgg, lenet or dnn");
}

TEST(Describe, NamesTheArrayThatDoesNotFit) {
  const TemporaryDirectory directory;
  SavedModel saved(kSpecs[1]);
  NpzWriter writer;
  for (const auto& entry : saved.variables().entries()) {
    const Tensor value = saved.variables().Get(entry.name);
    writer.Add(entry.name, entry.name == "predictor/l1/b" ? Tensor(DType::kFloat32, {9}) : value);
  }
  const ModelDescription description =
      DescribeModelNpz(directory.Write("model.npz", writer.ToBytes()));
  EXPECT_FALSE(description.spec);
  EXPECT_EQ(description.reason, "looks like mlp, but l1/b has shape (9,) instead of (3,)");
}

}  // namespace
}  // namespace lockstep
