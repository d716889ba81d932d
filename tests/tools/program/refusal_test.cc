// Input that cannot be trained on: one line, the right code, nothing left behind.
#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "data/npy.h"
#include "data/zip_writer.h"
#include "tests/tools/program/workplace.h"

namespace lockstep::tools {
namespace {

class Refusals : public Workplace {
 protected:
  // Trains on that channel only.
  Outcome RunOn(const std::string& channel, const Arguments& more = {}) const {
    return Run(
        TrainWithoutChannels(Arguments{"--train", channel, "--model-dir", Dir("model")} + more));
  }
  void ExpectNoModel() const { EXPECT_FALSE(Exists("model/model.npz")); }
};

TEST_F(Refusals, MissingChannelNamesVariableAndChannels) {
  ExpectRefusal(Run(TrainWithoutChannels({"--model-dir", Dir("model")}),
                    {{"SM_CHANNEL_PICTURES", "/nowhere"}}),
                64, {"SM_CHANNEL_TRAIN", "--train", "pictures"});
  EXPECT_FALSE(Exists("model"));
}

TEST_F(Refusals, MissingModelDirNamesTheVariable) {
  ExpectRefusal(Run(TrainWithoutChannels({"--train", Dir("train")})), 64,
                {"--model-dir", "SM_MODEL_DIR"});
}

TEST_F(Refusals, ReproducibleJobsTakeNoNarrowOrLateGradients) {
  for (const Arguments& way : {Arguments{"--wire", "float16"}, Arguments{"--wire", "bfloat16"},
                               Arguments{"--double-buffering", "True"}}) {
    ExpectRefusal(Run(Train(way + Arguments{"--reproducible", "True"})), 64,
                  {"--wire and --double-buffering are of the fast mode"});
  }
  ExpectNoModel();
  ExpectRefusal(Run(Train({"--wire", "int8"})), 64, {"--wire", "float16", "bfloat16"});
}

TEST_F(Refusals, ReproducibleJobsTakeBatchStatisticsOfLanesOnly) {
  for (const Arguments& way :
       {Arguments{"--sync-batch-norm", "True"}, Arguments{"--average-statistics", "False"},
        Arguments{"--sync-batch-norm", "True", "--lane-norm", "sync"},
        Arguments{"--average-statistics", "False", "--lane-norm", "lane"}}) {
    ExpectRefusal(
        Run(Train(way + Arguments{"--reproducible", "True"})), 64,
        {"--sync-batch-norm and --average-statistics are of the fast mode", "--lane-norm"});
  }
  ExpectRefusal(Run(Train({"--reproducible", "True", "--lane-norm", "rank"})), 64,
                {"--lane-norm", "rank", "sync", "lane"});
  ExpectNoModel();
}

TEST_F(Refusals, AbsentChannelDirectory) {
  ExpectRefusal(RunOn(Dir("nowhere")), 66, {Dir("nowhere"), "; name one that exists"});
  ExpectNoModel();
}

TEST_F(Refusals, EmptyChannel) {
  scratch_.MakeDirectory("empty");
  ExpectRefusal(RunOn(Dir("empty")), 66, {Dir("empty"), "found nothing; wanted *.npz"});
}

TEST_F(Refusals, OtherKeysAreListed) {
  const Arrays arrays = Vectors(40);
  const std::string channel =
      Channel("keys", {{"features", arrays.at("data")}, {"labels", arrays.at("labels")}});
  ExpectRefusal(RunOn(channel), 65, {"data.npz", "features", "; name the samples with --data-key"});
  const Arguments key{"--data-key", "features"};
  ExpectRefusal(RunOn(channel, key + Arguments{"--label-key", "y"}), 65,
                {"no array 'y'", "features, labels; name the labels with --label-key"});
  EXPECT_EQ(RunOn(channel, key).code, 0);
}

TEST_F(Refusals, OtherCountsOfRowsAndLabels) {
  Arrays arrays = Vectors(40);
  arrays["labels"] = Int32s({1, 2, 3});
  ExpectRefusal(RunOn(Channel("counts", arrays)), 65, {"40 rows", "3 labels; each row needs one"});
}

TEST_F(Refusals, ValidationSamplesOfAnotherShape) {
  const std::string channel = Channel("pictures", Pictures(20));
  ExpectRefusal(RunOn(Dir("train"), {"--test", channel}), 65,
                {"(3, 8, 8)", "(20,)", "; give both channels one shape"});
}

TEST_F(Refusals, VectorsForANetworkOfPictures) {
  ExpectRefusal(Run({"train", "--model", "lenet", "--train", Dir("train"), "--model-dir",
                     Dir("model"), "--threads", "1"}),
                65, {"lenet", "pictures", "(20,)", "; give it such pictures or take --model mlp"});
}

TEST_F(Refusals, PickledArrays) {
  const std::string npy = NpyHeaderText("|O", Shape({40})) + std::string(320, '\x80');
  const std::vector<uint8_t> labels(npy.begin(), npy.end());
  const std::vector<uint8_t> data = WriteNpy(Vectors(40).at("data"));
  std::string archive;
  ZipWriter zip(
      [&](std::span<const uint8_t> bytes) { archive.append(bytes.begin(), bytes.end()); });
  zip.Add("data.npy", {data}, {});
  zip.Add("labels.npy", {labels}, {});
  zip.Finish();
  scratch_.Write("pickled/data.npz", archive);
  ExpectRefusal(RunOn(Dir("pickled")), 65,
                {"data.npz", "labels", "pickle", "; save plain arrays of numbers instead"});
}

TEST_F(Refusals, CutArchive) {
  const std::string bytes = ReadFile(Dir("train/data.npz"));
  scratch_.Write("cut/data.npz", bytes.substr(0, bytes.size() / 2));
  ExpectRefusal(RunOn(Dir("cut")), 65,
                {"data.npz: not a zip archive, or cut short", "; fetch or write the file again"});
}

TEST_F(Refusals, LabelsOutOfRangeNameTheRow) {
  Arrays arrays = Vectors(40);
  arrays["labels"].values<int32_t>()[23] = 10;
  ExpectRefusal(RunOn(Channel("high", arrays)), 65,
                {"row 23", "10", "; correct it or train with --classes 11"});
  arrays["labels"].values<int32_t>()[23] = -2;
  ExpectRefusal(RunOn(Channel("low", arrays)), 65,
                {"row 23", "-2", "; wanted a whole number from 0"});
  ExpectNoModel();
}

// An IDX file of bytes.
std::string Idx(const std::vector<uint8_t>& extents, const std::string& values) {
  std::string file{0, 0, 8, static_cast<char>(extents.size())};
  for (const uint8_t extent : extents) file += {0, 0, 0, static_cast<char>(extent)};
  return file + values;
}

TEST_F(Refusals, LabelsOfIdxPairsNameTheirOwnFile) {
  scratch_.Write("idx/train-images-idx3-ubyte", Idx({40, 28, 28}, std::string(40 * 28 * 28, 1)));
  const auto refuse = [&](const std::string& labels, const std::vector<std::string>& parts) {
    scratch_.Write("idx/train-labels-idx1-ubyte", labels);
    ExpectRefusal(RunOn(Dir("idx")), 65, parts);
  };
  std::string labels(40, 3);
  labels[33] = 10;
  refuse(Idx({40}, labels), {"/train-labels-idx1-ubyte row 33: label 10 is outside 0..9"});
  refuse(Idx({40, 2}, std::string(80, 1)), {"/train-labels-idx1-ubyte: ", "(40, 2)", "(40,)"});
  refuse(Idx({39}, std::string(39, 1)),
         {"/train-images-idx3-ubyte holds 40 pictures", "/train-labels-idx1-ubyte holds 39 labels",
          "each picture needs one"});
  ExpectNoModel();
}

TEST_F(Refusals, NotANumberNamesItsFirstRow) {
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    Arrays arrays = Vectors(40);
    for (const size_t row : {17U, 31U}) arrays["data"].values<float>()[row * 20 + 3] = bad;
    ExpectRefusal(RunOn(Channel("nan", arrays)), 65,
                  {"row 17", "finite numbers; repair or remove the row"});
  }
  ExpectNoModel();
}

TEST_F(Refusals, FewerRowsThanABatch) {
  ExpectRefusal(RunOn(Channel("few", Vectors(15))), 65,
                {"15 rows", "batch of 16; lower --batch-size"});
}

TEST_F(Refusals, DivergedTrainingIsNotSaved) {
  const Outcome outcome = RunOn(
      Dir("train"), {"--lr", "1e30", "--epochs", "20", "--checkpoint-dir", Dir("checkpoints")});
  ExpectRefusal(outcome, 65, {"learning rate"});
  ExpectNoModel();
}

// The first epoch is an ordinary one of five steps.
TEST_F(Refusals, DivergedTrainingKeepsItsLastGoodCheckpoint) {
  const Arguments job{"--checkpoint-dir",  Dir("job"), "--checkpoint-every", "1",
                      "--schedule",        "steps",    "--schedule-steps",   "1",
                      "--schedule-factor", "1e45"};
  const Arguments five = job + Arguments{"--iterations", "5"};
  const std::string hash =
      RunOn(Dir("train"), With(five, "--checkpoint-dir", Dir("five"))).WeightsHash();
  std::filesystem::remove_all(Dir("model"));
  ExpectRefusal(RunOn(Dir("train"), job), 65, {"learning rate"});
  ExpectNoModel();
  EXPECT_EQ(NewestCheckpoint("job"), 5);
  const Outcome resumed = RunOn(Dir("train"), five);
  EXPECT_THAT(resumed.out, testing::HasSubstr("/checkpoint_5.lsc at iteration 5\n"));
  EXPECT_EQ(resumed.WeightsHash(), hash);
}

TEST_F(Refusals, UnknownNamesAndValuesListTheKnown) {
  ExpectRefusal(RunOn(Dir("train"), {"--model", "resnet"}), 64,
                {"--model: found 'resnet', wanted one of mlp, vgg, lenet, dnn"});
  ExpectRefusal(RunOn(Dir("train"), {"--optimizer", "lion"}), 64,
                {"--optimizer: found 'lion', wanted one of sgd, ", "adam"});
  ExpectRefusal(RunOn(Dir("train"), {"--schedule", "never"}), 64,
                {"--schedule: found 'never', wanted one of ", "cosine"});
  ExpectRefusal(RunOn(Dir("train"), {"--epochs", "many"}), 64,
                {"--epochs: found 'many', wanted a whole number from 1"});
  ExpectRefusal(RunOn(Dir("train"), {"--batch-size", "0"}), 64,
                {"--batch-size: found '0', wanted a whole number from 1"});
  ExpectRefusal(RunOn(Dir("train"), {"--learning-rate", "-1"}), 64,
                {"--learning-rate: found '-1', wanted a number above 0"});
  ExpectRefusal(RunOn(Dir("train"), {"--dtype", "int8"}), 64,
                {"--dtype: found 'int8', wanted one of ", "float64", "bfloat16"});
  ExpectRefusal(RunOn(Dir("train"), {"--checkpoint-every", "often"}), 64, {"often", "10min"});
  ExpectRefusal(RunOn(Dir("train"), {"--width", "0.5"}), 64, {"mlp", "width"});
  ExpectRefusal(RunOn(Dir("train"), {"--freeze", "conv*"}), 64,
                {"conv*", "; it has predictor/l1/W, "});
  ExpectRefusal(RunOn(Dir("train"), {"--schedule", "steps"}), 64, {"--schedule-steps"});
  ExpectRefusal(RunOn(Dir("train"), {"--keep-checkpoints", "4294967296"}), 64, {"up to 1000000"});
  for (const char* option : {"--epochs", "--iterations", "--batch-size", "--pad", "--crop",
                             "--schedule-epochs", "--warm-up", "--snapshot-every"}) {
    ExpectRefusal(RunOn(Dir("train"), {option, "9223372036854775807"}), 64,
                  {std::string(option).substr(2), "9223372036854775807", "up to"});
  }
  ExpectNoModel();
}

TEST_F(Refusals, NumbersBeyondFloat32NameTheOption) {
  const std::string bytes = Channel("bytes", Pictures(20));
  for (const auto& [option, value] : std::map<std::string, std::string>{
           {"--mean", "0.5,1e308,0"},
           {"--stddev", "1e-45"},
           {"--scale", "1e308"},
           {"--beta1", "1"},
           {"--beta2", "1"},
           {"--schedule-steps", "3,-1"},
       }) {
    ExpectRefusal(RunOn(bytes, {option, value}), 64, {option, "wanted"});
  }
  for (const char* every : {"9223372036854775807", "99999999999999999999", "300000h", "1e400s"}) {
    ExpectRefusal(RunOn(bytes, {"--checkpoint-every", every}), 64, {"--checkpoint-every", every});
  }
  ExpectRefusal(RunOn(bytes, {"--scale", "1e36", "--stddev", "1e-37"}), 64,
                {"float32; lower --scale or raise --stddev"});
  ExpectNoModel();
}

TEST_F(Refusals, ModelDirThatIsAFile) {
  scratch_.Write("model", "a file");
  const Outcome outcome = RunOn(Dir("train"));
  ExpectRefusal(outcome, 73, {Dir("model"), "it is a file; remove it or choose another"});
  EXPECT_EQ(outcome.out, "");  // before the first step
  EXPECT_EQ(ReadFile(Dir("model")), "a file");
}

TEST_F(Refusals, ResultsThatCouldNotBePutInPlace) {
  const Arguments out{"--output-data-dir", Dir("out")};
  scratch_.Write("file", "x");
  scratch_.MakeDirectory("model");
  scratch_.MakeDirectory("out");
  for (const char* name : {"model/model.npz", "model/model.json", "out/log", "out/accuracy.png",
                           "out/loss.png", "out/cg.dot"}) {
    for (const bool link : {false, true}) {
      link ? std::filesystem::create_symlink(Dir("file"), Dir(name)) : scratch_.MakeDirectory(name);
      const Outcome outcome = RunOn(Dir("train"), out);
      ExpectRefusal(outcome, 73,
                    {Dir(name), link ? "a symbolic link" : "a directory",
                     "; remove it or choose another name"});
      EXPECT_EQ(outcome.out, "");  // before the first step
      std::filesystem::remove(Dir(name));
    }
  }
  EXPECT_EQ(ReadFile(Dir("file")), "x");
}

TEST_F(Refusals, ManifestThatCouldNotBePutInPlace) {
  scratch_.Write("file", "x");
  scratch_.MakeDirectory("job");
  std::filesystem::create_symlink(Dir("file"), Dir("job/MANIFEST"));
  const Outcome outcome = Run(Train({}, "job"));
  ExpectRefusal(outcome, 73, {"MANIFEST", "a symbolic link", "; remove it or choose another name"});
  EXPECT_EQ(outcome.out, "");  // before the first step
}

TEST_F(Refusals, OutputDirThatCannotBeMade) {
  scratch_.Write("file", "");
  const std::string advice = "; choose another";
  ExpectRefusal(RunOn(Dir("train"), {"--output-data-dir", Dir("file/out")}), 73, {"file", advice});
  ExpectRefusal(RunOn(Dir("train"), {"--checkpoint-dir", Dir("file/c")}), 73, {"file", advice});
  ExpectRefusal(RunOn(Dir("train"), {"--model-dir", "/proc/lockstep"}), 73, {"/proc", advice});
}

TEST_F(Refusals, TrainingDataFileOutsideTheChannel) {
  ExpectRefusal(RunOn(Dir("train"), {"--training-data-file", "../test/data.npz"}), 64,
                {"..", "; give a name relative to"});
  ExpectRefusal(RunOn(Dir("train"), {"--training-data-file", "absent.npz"}), 66,
                {"absent.npz", "; name one that exists"});
  EXPECT_EQ(RunOn(Dir("train"), {"--training-data-file", "data.npz"}).code, 0);
}

TEST_F(Refusals, VerbsThatDoNotExist) {
  ExpectRefusal(Run({"tran"}), 64, {"tran", "train, predict, inspect, bench"});
  ExpectRefusal(Run({}), 64, {"no verb", "train"});
  ExpectRefusal(Run({"bench", "serve"}), 64, {"bench train"});
}

}  // namespace
}  // namespace lockstep::tools
