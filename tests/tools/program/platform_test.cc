// Training as the platform starts it: variables, files under its base directory, argv.
#include <gmock/gmock.h>

#include "tests/tools/program/workplace.h"

namespace lockstep::tools {
namespace {

using testing::HasSubstr;

class Platform : public Workplace {
 protected:
  std::map<std::string, std::string> Variables() const {
    return {{"SM_CHANNEL_TRAIN", Dir("train")},
            {"SM_CHANNEL_TEST", Dir("test")},
            {"SM_MODEL_DIR", Dir("model")},
            {"SM_OUTPUT_DIR", Dir("output")},
            {"SM_OUTPUT_DATA_DIR", Dir("output/data")},
            {"SM_NUM_GPUS", "0"}};
  }

  // The tree that the platform mounts, with the channels moved into it.
  std::map<std::string, std::string> MakeBase(const std::string& hyperparameters) const {
    std::filesystem::create_directories(Dir("ml/input/data"));
    std::filesystem::create_directories(Dir("ml/output"));
    std::filesystem::rename(Dir("train"), Dir("ml/input/data/train"));
    std::filesystem::rename(Dir("test"), Dir("ml/input/data/test"));
    scratch_.Write("ml/input/config/hyperparameters.json", hyperparameters);
    scratch_.Write("ml/input/config/resourceconfig.json",
                   R"({"current_host": "algo-1", "hosts": ["algo-1"],
                       "network_interface_name": "eth0"})");
    scratch_.Write("ml/input/config/inputdataconfig.json",
                   R"({"train": {"TrainingInputMode": "File", "RecordWrapperType": "None"},
                       "test": {"TrainingInputMode": "File"}})");
    return {{"SAGEMAKER_BASE_DIR", Dir("ml")}};
  }
};

TEST_F(Platform, VariablesAreTheDefaults) {
  const Outcome outcome = RunWell(TrainWithoutChannels(), Variables());
  EXPECT_THAT(outcome.out, HasSubstr("70 training samples, 33 for validation"));
  EXPECT_TRUE(Exists("model/model.npz"));
  for (const char* name : {"accuracy.png", "loss.png", "log", "cg.dot"}) {
    EXPECT_TRUE(Exists(std::string("output/data/") + name)) << name;
  }
  EXPECT_FALSE(Exists("output/failure"));
}

TEST_F(Platform, FlagsWinOverVariables) {
  const std::string other = Channel("other", tools::Vectors(40, 5));
  const Outcome outcome =
      RunWell(TrainWithoutChannels({"--train", other, "--test", other, "--model-dir",
                                    Dir("flag_model"), "--output-data-dir", Dir("flag_out")}),
              Variables());
  EXPECT_THAT(outcome.out, HasSubstr("40 training samples, 40 for validation"));
  EXPECT_TRUE(Exists("flag_model/model.npz"));
  EXPECT_TRUE(Exists("flag_out/log"));
  EXPECT_FALSE(Exists("model"));
  EXPECT_FALSE(Exists("output/data"));
}

TEST_F(Platform, ChannelNamedTrainingIsTheTrainingChannel) {
  auto variables = Variables();
  variables["SM_CHANNEL_TRAINING"] = variables["SM_CHANNEL_TRAIN"];
  variables.erase("SM_CHANNEL_TRAIN");
  RunWell(TrainWithoutChannels(), variables);
}

TEST_F(Platform, FilesUnderTheBaseDirectoryAreEnough) {
  const auto variables = MakeBase(
      R"({"epochs": "3", "batch-size": "8", "learning-rate": "0.01", "hidden": "[5, 4]",
          "threads": "1", "shuffle": "false", "sagemaker_program": "\"lockstep\"",
          "colour": "\"blue\""})");
  const Outcome outcome = RunWell({"train"}, variables);
  EXPECT_THAT(outcome.out, HasSubstr("# Minibatch-size: 8\n# epoch: 3\n# learning rate: 0.01"));
  EXPECT_THAT(outcome.out, HasSubstr("# options not known here: --colour blue\n"));
  EXPECT_TRUE(Exists("ml/model/model.npz"));
  EXPECT_TRUE(Exists("ml/output/data/log"));
  EXPECT_FALSE(Exists("ml/output/failure"));
}

TEST_F(Platform, ArgumentsWinOverHyperparameterFiles) {
  const auto variables = MakeBase(R"({"epochs": "7", "batch_size": "8", "threads": "1"})");
  const Outcome outcome = RunWell({"train", "--epochs", "2", "--hidden", "5"}, variables);
  EXPECT_THAT(outcome.out, HasSubstr("# Minibatch-size: 8\n# epoch: 2\n"));
}

TEST_F(Platform, ItsCheckpointDirectoryIsUsedAndResumedFrom) {
  const auto variables = MakeBase(R"({"threads": "1", "batch-size": "16", "hidden": "[5]"})");
  scratch_.MakeDirectory("ml/checkpoints");
  RunWell({"train", "--epochs", "1"}, variables);
  EXPECT_TRUE(Exists("ml/checkpoints/checkpoint_5.lsc"));
  const Outcome outcome = RunWell({"train", "--epochs", "2"}, variables);
  EXPECT_THAT(outcome.out, HasSubstr("# resumed from " + Dir("ml/checkpoints") +
                                     "/checkpoint_5.lsc at iteration 5\n"));
}

TEST_F(Platform, EverySpellingOfOptionsWorks) {
  const Outcome outcome =
      RunWell({"train", "--batch_size", "16", "--epochs=2", "--learning-rate", "1e-02", "--shuffle",
               "True", "--flip", "False", "--exact_math", "--init-from", "", "--hidden", "[9, 8]",
               "--threads", "1", "--optimizer", "momentum"},
              Variables());
  EXPECT_THAT(outcome.out, HasSubstr("# Minibatch-size: 16\n# epoch: 2\n# learning rate: 0.01"));
}

TEST_F(Platform, UnknownOptionsAreListedAndTolerated) {
  const Outcome outcome =
      RunWell(TrainWithoutChannels({"--epoch", "9", "--colour=blue"}), Variables());
  EXPECT_THAT(
      outcome.out,
      HasSubstr("# options not known here: --epoch 9 (did you mean --epochs?), --colour blue"));
}

TEST_F(Platform, StrictRefusesUnknownOptions) {
  ExpectRefusal(Run(TrainWithoutChannels({"--colour", "blue", "--strict"}), Variables()), 64,
                {"--colour blue", "--strict"});
}

TEST_F(Platform, FailureFileHoldsTheSameTextAndIsWrittenOnce) {
  scratch_.MakeDirectory("output");
  const Outcome first = Run(TrainWithoutChannels({"--optimizer", "none"}), Variables());
  ExpectRefusal(first, 64, {"optimizer", "none"});
  EXPECT_EQ("lockstep: " + ReadWhole(Dir("output/failure")), first.err);
  ExpectRefusal(Run(TrainWithoutChannels({"--epochs", "0"}), Variables()), 64, {"epochs"});
  EXPECT_EQ("lockstep: " + ReadWhole(Dir("output/failure")), first.err);
}

TEST_F(Platform, BrokenHyperparametersReachTheFailureFile) {
  const auto variables = MakeBase(R"({"epochs": )");
  const Outcome outcome = Run({"train"}, variables);
  ExpectRefusal(outcome, 64, {"hyperparameters.json"});
  EXPECT_EQ("lockstep: " + ReadWhole(Dir("ml/output/failure")), outcome.err);
}

}  // namespace
}  // namespace lockstep::tools
