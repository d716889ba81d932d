// What the documentation of the containers lets users write, done with the program.
#include <gmock/gmock.h>

#include "data/npz.h"
#include "tests/tools/program/workplace.h"
#include "tools/log_report.h"

namespace lockstep::tools {
namespace {

using testing::HasSubstr;
using testing::Not;

class Samples : public Workplace {
 protected:
  // The platform's tree with a channel of the sample program, training_data.npz.
  std::map<std::string, std::string> MakeBase(const std::string& channel,
                                              const std::string& hyperparameters) const {
    const Arrays arrays = Vectors(300);
    Channel("ml/input/data/" + channel,
            {{"features", arrays.at("data")}, {"labels", arrays.at("labels")}});
    std::filesystem::rename(Dir("ml/input/data/" + channel + "/data.npz"),
                            Dir("ml/input/data/" + channel + "/training_data.npz"));
    std::filesystem::create_directories(Dir("ml/output"));
    scratch_.Write("ml/input/config/hyperparameters.json", hyperparameters);
    scratch_.Write("ml/input/config/resourceconfig.json",
                   R"({"current_host": "algo-1", "hosts": ["algo-1"]})");
    return {{"SAGEMAKER_BASE_DIR", Dir("ml")}};
  }
};

constexpr const char* kSample =
    R"({"training_data_file": "\"training_data.npz\"", "data_key": "features", "batch_size": "128",
        "epochs": "20", "hidden": "[64]", "optimizer": "nesterov", "momentum": "0.9",
        "learning_rate": "0.01", "decay": "1e-6", "weight_decay": "0", "threads": "1"})";

TEST_F(Samples, ContainersProgramTrainsTwentyEpochsFromItsHyperparameters) {
  const auto variables = MakeBase("training", kSample);
  const Outcome outcome = RunWell({"train"}, variables);
  EXPECT_THAT(outcome.out, HasSubstr("# Minibatch-size: 128\n# epoch: 20\n# learning rate: 0.01"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("not known here")));
  const std::vector<LogEntry> log = ParseLog(ReadFile(Dir("ml/output/data/log")), "log");
  ASSERT_EQ(log.size(), 20U);
  EXPECT_LT(AsDouble(*log.back().Find("main/loss")), AsDouble(*log.front().Find("main/loss")));
  EXPECT_GT(AsDouble(*log.back().Find("main/accuracy")), 0.3);  // of 7 classes
  EXPECT_DOUBLE_EQ(AsDouble(*log.back().Find("lr")), 0.01 / (1 + 1e-6 * 60));
  EXPECT_EQ(NpzReader(Dir("ml/model/model.npz")).Read("predictor/l1/W").shape(), Shape({64, 20}));
}

TEST_F(Samples, TrainingDataFileSelectsOneOfTheChannel) {
  const auto variables = MakeBase("training", kSample);
  scratch_.Write("ml/input/data/training/other.npz", "no archive");
  RunWell({"train", "--epochs", "1"}, variables);
  const auto refused = [&](const std::string& file) {
    return Run({"train", "--training_data_file", file}, variables);
  };
  ExpectRefusal(refused("other.npz"), 65, {"other.npz"});
  ExpectRefusal(refused("../../config/hyperparameters.json"), 64, {".."});
  ExpectRefusal(refused("/etc/passwd"), 64, {"/etc/passwd"});
}

// What the notebook's submission leaves for the program: the SDK's own entries beside its two.
TEST_F(Samples, NotebooksSubmissionIsAConfigurationFile) {
  const auto variables = MakeBase("train", R"({
      "epochs": "50", "batch-size": "64", "sagemaker_program": "\"chainer_cifar_vgg.py\"",
      "sagemaker_submit_directory": "\"s3://bucket/job/source/sourcedir.tar.gz\"",
      "sagemaker_container_log_level": "20", "sagemaker_job_name": "\"job-2026\"",
      "sagemaker_enable_cloudwatch_metrics": "false", "sagemaker_region": "\"us-west-2\""})");
  const Outcome outcome = RunWell(
      {"train", "--iterations", "2", "--hidden", "5", "--threads", "1", "--data-key", "features"},
      variables);
  EXPECT_THAT(outcome.out, HasSubstr("# Minibatch-size: 64\n# epoch: 50\n# learning rate: 0.05"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("not known here")));
}

// The library helper of the notebook gives float32 planes in 0..1 and whole labels.
TEST_F(Samples, CifarBinariesTrainAsTheHelpersPairs) {
  constexpr size_t kRows = 40, kPixels = 3072;
  std::string records;
  Tensor data(DType::kFloat32, Shape({kRows, 3, 32, 32}));
  Tensor labels(DType::kInt64, Shape({kRows}));
  for (size_t row = 0; row < kRows; ++row) {
    records += static_cast<char>(row * 7 % 10);
    labels.values<int64_t>()[row] = static_cast<int64_t>(row * 7 % 10);
    for (size_t i = 0; i < kPixels; ++i) {
      const auto byte = static_cast<uint8_t>(row * 31 + i * i % 251);
      records += static_cast<char>(byte);
      data.values<float>()[row * kPixels + i] = static_cast<float>(byte * (1.0 / 255));
    }
  }
  scratch_.Write("binary/data_batch_1.bin", records.substr(0, 25 * (kPixels + 1)));
  scratch_.Write("binary/data_batch_2.bin", records.substr(25 * (kPixels + 1)));
  const auto train = [&](const std::string& channel) {
    return RunWell({"train", "--model", "lenet", "--width", "0.25", "--train", channel, "--epochs",
                    "2", "--batch-size", "16", "--threads", "1", "--exact-math", "--model-dir",
                    Dir("model")})
        .WeightsHash();
  };
  EXPECT_EQ(train(Dir("binary")), train(Channel("pairs", {{"data", data}, {"labels", labels}})));
}

// One program trains and predicts; what it is asked for decides, not where it stands.
TEST_F(Samples, LoadingAModelDoesNotTrain) {
  const auto variables = MakeBase("training", kSample);
  scratch_.MakeDirectory("ml/checkpoints");
  RunWell({"train", "--epochs", "1"}, variables);
  const auto files = [&] {
    std::map<std::string, std::string> all;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(Dir("ml"))) {
      if (entry.is_regular_file()) all[entry.path()] = ReadFile(entry.path());
    }
    return all;
  };
  const auto before = files();
  EXPECT_EQ(RunWell({"predict", "--input", Dir("test/data.npz"), "--output", Dir("y.npy"),
                     "--threads", "1"},
                    variables)
                .out,
            "wrote " + Dir("y.npy") + " (33, 10)\n");
  RunWell({"inspect", Dir("ml/model")}, variables);
  RunWell({"--version"}, variables);
  EXPECT_EQ(files(), before);
}

TEST_F(Samples, WhatElseLiesInTheModelDirectoryStaysThere) {
  scratch_.Write("model/labels.txt", "zero\none\n");
  scratch_.Write("model/below/notes", "kept");
  RunWell(Train());
  EXPECT_TRUE(Exists("model/model.npz"));
  EXPECT_EQ(ReadFile(Dir("model/labels.txt")), "zero\none\n");
  EXPECT_EQ(ReadFile(Dir("model/below/notes")), "kept");
}

// An old job's checkpoints, a new job's everything else.
TEST_F(Samples, NewJobRestoresFromAnOldCheckpointPath) {
  RunWell(Train({"--epochs", "2"}, "old"));
  const Outcome outcome =
      RunWell(With(Train({"--epochs", "3"}, "new"), "--checkpoint-dir", Dir("old")));
  EXPECT_THAT(outcome.out, HasSubstr("# resumed from " + Dir("old") + "/checkpoint_10.lsc at"));
  EXPECT_EQ(outcome.WeightsHash(), RunWell(Train({"--epochs", "3"})).WeightsHash());
  EXPECT_EQ(ParseLog(ReadFile(Dir("newout/log")), "log").size(), 3U);
}

}  // namespace
}  // namespace lockstep::tools
