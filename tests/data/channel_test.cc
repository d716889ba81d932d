#include "data/channel.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "data/npz.h"
#include "tests/data/expect_error.h"
#include "tests/temporary_directory.h"

namespace lockstep {
namespace {

template <typename T>
Tensor Make(Shape shape, std::vector<T> values) {
  values.resize(static_cast<size_t>(shape.size()));
  return Tensor::FromValues<T>(shape, values);
}

std::vector<uint8_t> Npz(const Tensor& data, const Tensor& labels,
                         const std::string& data_key = "data",
                         const std::string& label_key = "labels") {
  NpzWriter writer;
  writer.Add(data_key, data);
  writer.Add(label_key, labels);
  return writer.ToBytes();
}

std::vector<uint8_t> Npz(int64_t rows, int64_t labels) {
  return Npz(Tensor(DType::kFloat32, {rows, 4}), Tensor(DType::kInt64, {labels}));
}

// An IDX file of uint8 zeros.
std::string Idx(const std::vector<uint32_t>& extents) {
  std::string file = {0, 0, 8, static_cast<char>(extents.size())};
  size_t count = 1;
  for (const uint32_t extent : extents) {
    for (int shift = 24; shift >= 0; shift -= 8) file += static_cast<char>(extent >> shift & 255);
    count *= extent;
  }
  return file + std::string(count, '\0');
}

std::string CifarRecords(int count) {
  std::string file;
  for (int i = 0; i < count; ++i) {
    file += static_cast<char>(i % 10);
    file += std::string(3072, static_cast<char>(i));
  }
  return file;
}

std::vector<int32_t> Labels(const Dataset& dataset) {
  const auto labels = dataset.labels().values<int32_t>();
  return {labels.begin(), labels.end()};
}

TEST(Channel, NpzKeepsBytesAndConvertsLabels) {
  TemporaryDirectory dir;
  dir.Write("train.npz", Npz(Make<uint8_t>({2, 1, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 255}),
                             Make<int64_t>({2, 1}, {7, -1})));
  const Dataset dataset = LoadChannel(dir.path());
  EXPECT_EQ(dataset.size(), 2);
  EXPECT_EQ(dataset.sample_type(), (TensorType{{1, 2, 2}, DType::kUint8}));
  EXPECT_EQ(dataset.features().values<uint8_t>()[7], 255);
  EXPECT_EQ(dataset.label_type(), (TensorType{Shape{}, DType::kInt32}));
  EXPECT_EQ(Labels(dataset), (std::vector<int32_t>{7, -1}));
  EXPECT_EQ(dataset.classes(), 8);
  EXPECT_EQ(dataset.Describe(1), dir / "train.npz" + " row 1");
}

TEST(Channel, KeysAndFileAreSelectable) {
  TemporaryDirectory dir;
  dir.Write("training_data.npz",
            Npz(Make<double>({3, 20}, {}), Make<uint8_t>({3}, {2, 0, 1}), "features", "labels"));
  dir.Write("other.npz", Npz(5, 5));
  const Dataset dataset =
      LoadChannel(dir.path(), {.file = "training_data.npz", .data_key = "features"});
  EXPECT_EQ(dataset.sample_type(), (TensorType{{20}, DType::kFloat64}));
  EXPECT_EQ(Labels(dataset), (std::vector<int32_t>{2, 0, 1}));
  ExpectError(ExitCode::kBadData,
              {"training_data.npz", "'data'", "features, labels; name the samples with --data-key"},
              [&] { LoadChannel(dir.path(), {.file = "training_data.npz"}); });
}

TEST(Channel, FileOutsideTheDirectoryIsRefused) {
  TemporaryDirectory dir;
  for (const std::string file : {"../x.npz", "/etc/passwd", "a/../../x.npz", ".."}) {
    ExpectError(ExitCode::kUsage, {"outside"}, [&] { LoadChannel(dir.path(), {.file = file}); });
  }
}

TEST(Channel, SeveralNpzFilesAreJoinedInTheOrderOfTheirNames) {
  TemporaryDirectory dir;
  dir.Write("b.npz", Npz(Make<float>({1, 2}, {5, 6}), Make<int32_t>({1}, {3})));
  dir.Write("a.npz", Npz(Make<float>({2, 2}, {1, 2, 3, 4}), Make<int32_t>({2}, {1, 2})));
  dir.Write("readme.txt", std::string_view("not data"));
  const Dataset dataset = LoadChannel(dir.path());
  EXPECT_EQ(Labels(dataset), (std::vector<int32_t>{1, 2, 3}));
  EXPECT_EQ(dataset.features().values<float>()[5], 6);
  EXPECT_EQ(dataset.Describe(2), dir / "b.npz" + " row 0");
  dir.Write("c.npz", Npz(Make<float>({1, 3}, {}), Make<int32_t>({1}, {})));
  ExpectError(ExitCode::kBadData,
              {"c.npz", "a.npz", "(3,)", "(2,)", "; files of one channel must agree"},
              [&] { LoadChannel(dir.path()); });
}

TEST(Channel, TrainAndTestInOneDirectoryNeedAChoice) {
  TemporaryDirectory dir;
  dir.Write("train.npz", Npz(3, 3));
  dir.Write("test.npz", Npz(2, 2));
  ExpectError(ExitCode::kUsage, {"train.npz", "test.npz", "split"},
              [&] { LoadChannel(dir.path()); });
  EXPECT_EQ(LoadChannel(dir.path(), {.split = "train"}).size(), 3);
  EXPECT_EQ(LoadChannel(dir.path(), {.split = "test"}).size(), 2);
  EXPECT_EQ(LoadChannel(dir / "test.npz").size(), 2);
  ExpectError(ExitCode::kUsage, {"'best'"}, [&] { LoadChannel(dir.path(), {.split = "best"}); });
}

std::vector<std::string> NamesOf(const Dataset& dataset) {
  std::vector<std::string> names;
  for (const std::string& file : dataset.files()) {
    names.push_back(std::filesystem::path(file).filename().string());
  }
  return names;
}

// The files that make up a split of a directory that holds these, or the refusal's exit code.
std::vector<std::string> Chosen(const std::vector<std::string>& names, const std::string& split) {
  TemporaryDirectory dir;
  for (const std::string& name : names) dir.Write(name, Npz(1, 1));
  try {
    return NamesOf(LoadChannel(dir.path(), {.split = split}));
  } catch (const Error& error) {
    return {std::to_string(static_cast<int>(error.code()))};
  }
}

TEST(Channel, NamesThatTellNoTwoSplitsApartAreAllLoaded) {
  using Names = std::vector<std::string>;
  for (const Names& names :
       {Names{"more.npz", "train.npz"}, Names{"latest.npz"}, Names{"a.npz", "test.npz"},
        Names{"contest.npz", "restrain.npz"}, Names{"training_1.npz", "training_2.npz"}}) {
    for (const char* split : {"", "train", "test"}) EXPECT_EQ(Chosen(names, split), names);
  }
}

TEST(Channel, SplitsAreToldByWholeWords) {
  using Names = std::vector<std::string>;
  for (const Names& pair :
       {Names{"x_test.npz", "x_train.npz"}, Names{"Test.npz", "Train.npz"},
        Names{"mnistTest.npz", "mnistTraining.npz"}, Names{"test01.npz", "train01.npz"},
        Names{"testset.npz", "trainset.npz"}, Names{"t10k.npz", "train.npz"},
        Names{"val.npz", "vgg-train.npz"}}) {
    EXPECT_EQ(Chosen(pair, "test"), Names{pair[0]});
    EXPECT_EQ(Chosen(pair, "train"), Names{pair[1]});
    EXPECT_EQ(Chosen(pair, ""), Names{"64"});
  }
  const Names all = {"latest.npz", "test.npz", "train.npz", "validation.npz"};
  EXPECT_EQ(Chosen(all, "test"), Names{"test.npz"});
  EXPECT_EQ(Chosen(all, "train"), Names{"train.npz"});
}

TEST(Channel, HiddenFilesAreSkipped) {
  TemporaryDirectory dir;
  dir.Write("d.npz", Npz(3, 3));
  dir.Write("._d.npz", std::string_view("what another system left"));
  EXPECT_EQ(LoadChannel(dir.path()).size(), 3);
}

TEST(Channel, FilesLeftOutOfBothSplitsAreNamed) {
  TemporaryDirectory dir;
  for (const char* name : {"train.npz", "test.npz", "more.npz"}) dir.Write(name, Npz(2, 2));
  std::vector<std::string> warnings;
  const auto warn = [&](const std::string& line) { warnings.push_back(line); };
  EXPECT_EQ(LoadChannel(dir.path(), {.split = "train", .warn = warn}).size(), 2);
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_THAT(warnings[0],
              testing::AllOf(testing::HasSubstr("more.npz"), testing::HasSubstr(dir.path())));
}

TEST(Channel, NamesTooLongForLabelsAreAnError) {
  TemporaryDirectory dir;
  const std::string images = std::string(243, 'x') + "-images-idx3";
  dir.Write(images, Idx({2, 4, 5}));
  ExpectError(ExitCode::kNoInput, {"no labels"}, [&] { LoadChannel(dir.path()); });
}

TEST(Channel, MissingOrEmptyChannelSaysWhatWasFoundAndWanted) {
  TemporaryDirectory dir;
  ExpectError(ExitCode::kNoInput, {"nowhere", "; name one that exists"},
              [&] { LoadChannel(dir / "nowhere"); });
  ExpectError(ExitCode::kNoInput, {dir.path(), "found nothing", "*.npz"},
              [&] { LoadChannel(dir.path()); });
  dir.Write("notes.txt", std::string_view("x"));
  ExpectError(ExitCode::kNoInput, {"found notes.txt; wanted *.npz"},
              [&] { LoadChannel(dir.path()); });
  ExpectError(ExitCode::kNoInput, {"a.npz", "; name one that exists"},
              [&] { LoadChannel(dir.path(), {.file = "a.npz"}); });
}

TEST(Channel, RowsWithoutLabelsShowBothCounts) {
  TemporaryDirectory dir;
  dir.Write("train.npz", Npz(5, 4));
  ExpectError(ExitCode::kBadData, {"train.npz", "5 rows", "4 labels; each row needs one"},
              [&] { LoadChannel(dir.path()); });
  TemporaryDirectory idx;
  idx.Write("train-images-idx3-ubyte", Idx({3, 4, 5}));
  idx.Write("train-labels-idx1-ubyte", Idx({2}));
  ExpectError(ExitCode::kBadData,
              {"train-images-idx3-ubyte holds 3 pictures but ",
               "train-labels-idx1-ubyte holds 2 labels; each picture needs one"},
              [&] { LoadChannel(idx.path()); });
}

TEST(Channel, NoRowsAreRefused) {
  TemporaryDirectory dir;
  dir.Write("train.npz", Npz(0, 0));
  ExpectError(ExitCode::kBadData, {"train.npz: holds no rows, wanted at least one; fetch or write"},
              [&] { LoadChannel(dir.path()); });
}

TEST(Channel, LabelsThatAreNoClassesNameTheRow) {
  const auto refuse = [](const Tensor& labels, const std::string& shown) {
    TemporaryDirectory dir;
    dir.Write("train.npz", Npz(Tensor(DType::kFloat32, {3, 4}), labels));
    ExpectError(ExitCode::kBadData, {"train.npz row 1", shown, "; wanted a whole number from 0"},
                [&] { LoadChannel(dir.path(), {.labels = LabelKind::kClasses}); });
  };
  refuse(Make<float>({3}, {0, 2.5F, 1}), "2.5");
  refuse(Make<double>({3}, {0, 0x1p40, 1}), "1099511627776");
  refuse(Make<float>({3}, {0, 0x1p31F, 1}), "2147483648");
  refuse(Make<double>({3}, {0, std::nan(""), 1}), "nan");
  refuse(Make<int64_t>({3}, {0, int64_t{1} << 40, 1}), "1099511627776");
  refuse(Make<int64_t>({3}, {0, std::numeric_limits<int64_t>::min(), 1}), "-9223372036854775808");
  refuse(Make<int32_t>({3}, {0, -2, 1}), "-2");
  TemporaryDirectory dir;
  dir.Write("x.npz", Npz(Tensor(DType::kFloat32, {3, 4}), Make<float>({3}, {0, -1, 1})));
  EXPECT_EQ(Labels(LoadChannel(dir.path(), {.labels = LabelKind::kClasses})),
            (std::vector<int32_t>{0, -1, 1}));
}

TEST(Channel, LabelsAboveTheNetworksClassesNameTheRow) {
  TemporaryDirectory dir;
  dir.Write("x.npz", Npz(Tensor(DType::kFloat32, {3, 4}), Make<int32_t>({3}, {0, -1, 10})));
  const Dataset dataset = LoadChannel(dir.path());
  EXPECT_NO_THROW(dataset.CheckLabels(11));
  ExpectError(ExitCode::kBadData,
              {"x.npz row 2", "10", "0..9", "; correct it or train with --classes 11"},
              [&] { dataset.CheckLabels(10); });
}

TEST(Channel, FloatLabelsAreTargets) {
  TemporaryDirectory dir;
  dir.Write("x.npz", Npz(Tensor(DType::kFloat32, {3}), Make<double>({3}, {0.5, 2, -7})));
  const Dataset dataset = LoadChannel(dir.path());
  EXPECT_FALSE(dataset.has_classes());
  EXPECT_EQ(dataset.sample_type().shape, Shape({1}));
  EXPECT_EQ(dataset.label_type(), (TensorType{{1}, DType::kFloat32}));
  EXPECT_EQ(dataset.labels().values<float>()[2], -7);
  EXPECT_EQ(dataset.classes(), 0);
}

TEST(Channel, FirstNonFiniteRowIsNamed) {
  TemporaryDirectory dir;
  std::vector<float> x(12, 1);
  dir.Write("x.npz", Npz(Make<float>({3, 4}, x), Make<int32_t>({3}, {})));
  EXPECT_NO_THROW(LoadChannel(dir.path()).CheckFinite());
  x[10] = std::numeric_limits<float>::infinity();
  x[9] = std::numeric_limits<float>::quiet_NaN();
  dir.Write("x.npz", Npz(Make<float>({3, 4}, x), Make<int32_t>({3}, {})));
  ExpectError(ExitCode::kBadData,
              {"x.npz row 2", "feature 1", "nan, wanted finite numbers; repair or remove the row"},
              [&] { LoadChannel(dir.path()).CheckFinite(); });
}

TEST(Channel, NumbersBeyondTheTypeOfTheRunNameTheirRow) {
  TemporaryDirectory dir;
  std::vector<double> x(12, 1);
  x[6] = -1e300;
  dir.Write("x.npz", Npz(Make<double>({6, 2}, x), Make<int32_t>({6}, {})));
  const Dataset dataset = LoadChannel(dir.path());
  EXPECT_NO_THROW(dataset.CheckFinite(DType::kFloat64));
  ExpectError(
      ExitCode::kBadData,
      {"x.npz row 3: feature 0 is -1e+300, beyond float32; scale it or use --dtype float64"},
      [&] { dataset.CheckFinite(DType::kFloat32); });
}

TEST(Channel, FirstBadRowCountsWhetherFeatureOrTarget) {
  TemporaryDirectory dir;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  dir.Write("x.npz", Npz(Make<float>({4, 1}, {1, 1, 1, nan}), Make<float>({4}, {0, nan, 0, 0})));
  ExpectError(ExitCode::kBadData, {"x.npz row 1: target 0 is nan"},
              [&] { LoadChannel(dir.path()).CheckFinite(); });
}

TEST(Channel, IdxPairsBecomePicturesOfOneChannel) {
  TemporaryDirectory dir;
  dir.Write("train-images-idx3-ubyte", Idx({3, 4, 5}));
  dir.Write("train-labels-idx1-ubyte", Idx({3}));
  dir.Write("t10k-images.idx3-ubyte", Idx({2, 4, 5}));
  dir.Write("t10k-labels.idx1-ubyte", Idx({2}));
  EXPECT_EQ(LoadChannel(dir.path(), {.split = "train"}).sample_type(),
            (TensorType{{1, 4, 5}, DType::kUint8}));
  EXPECT_EQ(LoadChannel(dir.path(), {.split = "test"}).size(), 2);
  ExpectError(ExitCode::kUsage, {"split"}, [&] { LoadChannel(dir.path()); });
  std::filesystem::remove(dir / "t10k-labels.idx1-ubyte");
  ExpectError(ExitCode::kNoInput, {"t10k-labels.idx1-ubyte is not beside it; put it there"},
              [&] { LoadChannel(dir.path(), {.split = "test"}); });
}

TEST(Channel, BadLabelsOfIdxPairsNameTheirOwnFile) {
  TemporaryDirectory dir;
  const std::string images = dir.Write("train-images-idx3-ubyte", Idx({3, 4, 5}));
  const auto refuse = [&](const std::string& labels, const std::string& why) {
    const std::string path = dir.Write("train-labels-idx1-ubyte", labels);
    ExpectError(ExitCode::kBadData, {path + why}, [&] {
      const Dataset dataset = LoadChannel(dir.path(), {.labels = LabelKind::kClasses});
      dataset.CheckLabels(10);
      dataset.Slice(1, 3).CheckLabels(10);
    });
  };
  const std::string start = {0, 0, 8, 1, 0, 0, 0, 3};
  refuse(start + std::string({0, 1, 10}), " row 2: label 10 is outside 0..9");
  refuse(start.substr(0, 2) + '\x09' + start.substr(3) + std::string({0, -2, 1}),
         " row 1: label -2 is not a class");
  refuse(Idx({3, 2}), ": class labels of shape (3, 2); wanted one a row");
  refuse(Idx({3, 0}), ": labels of shape (3, 0); wanted at least one value a row");
  // Samples are still those of the pictures.
  dir.Write("train-labels-idx1-ubyte", Idx({3}));
  EXPECT_EQ(LoadChannel(dir.path()).Describe(1), images + " row 1");
  EXPECT_EQ(LoadChannel(dir.path()).files(), std::vector<std::string>{images});
}

TEST(Channel, BadTargetsOfIdxPairsNameTheirOwnFile) {
  TemporaryDirectory dir;
  dir.Write("a-images-idx3-ubyte", Idx({2, 4, 5}));
  const std::string one = {0x3F, '\x80', 0, 0}, nan = {0x7F, '\xC0', 0, 0};
  const std::string start = {0, 0, 0x0D, 1, 0, 0, 0, 2};
  const std::string labels = dir.Write("a-labels-idx1-ubyte", start + one + nan);
  ExpectError(ExitCode::kBadData, {labels + " row 1: target 0 is nan"},
              [&] { LoadChannel(dir.path()).CheckFinite(); });
}

TEST(Channel, CifarBatchesAreJoined) {
  TemporaryDirectory dir;
  dir.Write("data_batch_1.bin", CifarRecords(3));
  dir.Write("data_batch_2.bin", CifarRecords(2));
  dir.Write("test_batch.bin", CifarRecords(1));
  const Dataset dataset = LoadChannel(dir.path(), {.split = "train"});
  EXPECT_EQ(Labels(dataset), (std::vector<int32_t>{0, 1, 2, 0, 1}));
  EXPECT_EQ(dataset.sample_type(), (TensorType{{3, 32, 32}, DType::kUint8}));
  EXPECT_EQ(dataset.features().values<uint8_t>()[4 * 3072], 1);
  dir.Write("test_batch.bin", CifarRecords(1) + "x");
  ExpectError(ExitCode::kBadData,
              {"test_batch.bin", "3074 bytes", "3073", "; fetch or write the file again"},
              [&] { LoadChannel(dir.path(), {.split = "test"}); });
  std::string bad = CifarRecords(3);
  bad[3073] = 10;
  dir.Write("test_batch.bin", bad);
  ExpectError(ExitCode::kBadData,
              {"test_batch.bin row 1", "label 10", "; fetch or write the file again"},
              [&] { LoadChannel(dir.path(), {.split = "test"}); });
}

// What loading the split of a directory warns of.
std::vector<std::string> WarningsOf(const TemporaryDirectory& dir, const std::string& split) {
  std::vector<std::string> warnings;
  LoadChannel(dir.path(),
              {.split = split, .warn = [&](const std::string& line) { warnings.push_back(line); }});
  return warnings;
}

TEST(Channel, MissingCifarBatchesAreNamed) {
  using testing::Contains;
  using testing::HasSubstr;
  TemporaryDirectory dir;
  dir.Write("test_batch.bin", CifarRecords(1));
  for (const int i : {1, 2, 3, 5}) {
    dir.Write("data_batch_" + std::to_string(i) + ".bin", CifarRecords(1));
  }
  EXPECT_THAT(WarningsOf(dir, "train"), Contains(HasSubstr("data_batch_4.bin is missing")));
  dir.Write("data_batch_4.bin", CifarRecords(1));
  EXPECT_THAT(WarningsOf(dir, "train"), Not(Contains(HasSubstr("missing"))));
  EXPECT_THAT(WarningsOf(dir, "test"), Not(Contains(HasSubstr("missing"))));
}

TEST(Channel, CifarBatchesOfAnotherSizeThanPublishedAreNamed) {
  TemporaryDirectory dir;
  dir.Write("test_batch.bin", CifarRecords(10000));
  EXPECT_THAT(WarningsOf(dir, "test"), testing::IsEmpty());
  for (const int rows : {9999, 10001}) {
    dir.Write("test_batch.bin", CifarRecords(rows));
    EXPECT_THAT(WarningsOf(dir, "test"),
                testing::ElementsAre(testing::AllOf(
                    testing::HasSubstr("test_batch.bin holds " + std::to_string(rows)),
                    testing::HasSubstr("has 10000"))));
  }
}

TEST(Dataset, SliceKeepsTheNamesOfItsRows) {
  const Dataset a(Make<float>({3, 1}, {0, 1, 2}), Make<int32_t>({3}, {0, 1, 2}), {{"a", 3}});
  const Dataset b(Make<float>({3, 1}, {3, 4, 5}), Make<int32_t>({3}, {3, 4, 5}), {{"b", 3}});
  const Dataset slice = Dataset::Concatenate({a, b}).Slice(2, 5);
  EXPECT_EQ(Labels(slice), (std::vector<int32_t>{2, 3, 4}));
  EXPECT_EQ(slice.features().values<float>()[2], 4);
  EXPECT_EQ(slice.Describe(0), "a row 2");
  EXPECT_EQ(slice.Describe(2), "b row 1");
  EXPECT_EQ(Dataset::Concatenate({slice.Slice(1, 3), a}).Describe(1), "b row 1");
  ExpectError(ExitCode::kUsage, {"2 to 7"}, [&] { slice.Slice(2, 7); });
}

TEST(Channel, AModelBesideItsCardIsNoData) {
  TemporaryDirectory dir;
  dir.Write("x.npz", Npz(3, 3));
  dir.Write("model.npz", Npz(5, 5));
  EXPECT_EQ(LoadChannel(dir.path()).size(), 8);
  dir.Write("model.json", std::string("{}"));
  EXPECT_EQ(LoadChannel(dir.path()).size(), 3);
  std::filesystem::remove(dir / "x.npz");
  ExpectError(ExitCode::kNoInput, {"model.npz (model.npz is a model, not samples); wanted *.npz"},
              [&] { LoadChannel(dir.path()); });
}

TEST(Channel, FashionMnistLoadsWhole) {
  const std::string dir = "/usr/share/datasets/fashion-mnist";
  if (!std::filesystem::exists(dir)) GTEST_SKIP() << dir << " is not installed";
  const Dataset train = LoadChannel(dir, {.split = "train"});
  const Dataset test = LoadChannel(dir, {.split = "test"});
  EXPECT_EQ(train.size(), 60000);
  EXPECT_EQ(test.size(), 10000);
  EXPECT_EQ(train.classes(), 10);
  EXPECT_EQ(train.sample_type(), (TensorType{{1, 28, 28}, DType::kUint8}));
  std::vector<int> counts(10);
  for (const int32_t label : Labels(train)) ++counts[static_cast<size_t>(label)];
  EXPECT_EQ(counts, std::vector<int>(10, 6000));
}

}  // namespace
}  // namespace lockstep
