// Training as the platform starts it: variables, files under its base directory, argv.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include "tests/tools/program/workplace.h"

namespace lockstep::tools {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

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

TEST_F(Platform, SeveralHostsWithoutALauncherAreRefused) {
  auto variables = Variables();
  variables["SM_HOSTS"] = R"(["algo-1", "algo-2"])";
  variables["SM_CURRENT_HOST"] = "algo-2";
  ExpectRefusal(Run(TrainWithoutChannels(), variables), 78, {"2 hosts (algo-1, algo-2)"});
  for (const char* size : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}) {
    variables = Variables();
    variables[size] = "2";
    // What Open MPI leaves behind is not ours.
    variables["ASAN_OPTIONS"] = "detect_leaks=0";
    ExpectRefusal(Run(TrainWithoutChannels(), variables), 78, {"2 ranks", "mpirun"});
    variables[size] = "1";
    RunWell(TrainWithoutChannels(), variables);
  }
  RunWell({"train", "--help"}, {{"PMI_SIZE", "2"}});
}

TEST_F(Platform, FilesThatAreLeftOutAreMentioned) {
  const std::string bytes = ReadFile(Dir("train/data.npz"));
  for (const char* name : {"both/train.npz", "both/test.npz", "both/other.npz"}) {
    scratch_.Write(name, bytes);
  }
  EXPECT_THAT(RunWell(TrainWithoutChannels({"--train", Dir("both")}), Variables()).out,
              HasSubstr("warning: left out of " + Dir("both")));
}

TEST_F(Platform, PipeModeIsRefusedByName) {
  auto variables = Variables();
  variables["SM_INPUT_DATA_CONFIG"] = R"({"train": {"TrainingInputMode": "Pipe"}})";
  ExpectRefusal(Run(TrainWithoutChannels(), variables), 64, {"channel train", "Pipe mode", "File"});
  RunWell(TrainWithoutChannels({"--train", Dir("train")}), variables);
  variables = Variables();
  variables["SM_CHANNEL_TEST"] = Dir("piped");
  ASSERT_EQ(::mkfifo(Dir("piped_0").c_str(), 0600), 0);
  ExpectRefusal(Run(TrainWithoutChannels(), variables), 64, {"channel test", "Pipe mode"});
}

// TensorFlow's estimators pass --model_dir s3://...
TEST_F(Platform, AddressesOfBucketsAreNoFolders) {
  const Arguments job = TrainWithoutChannels({"--model_dir", "s3://bucket/job/model"});
  const Outcome outcome = RunWell(job, Variables());
  EXPECT_THAT(outcome.out, HasSubstr("# --model-dir 's3://bucket/job/model' is no directory"));
  EXPECT_TRUE(Exists("model/model.npz"));
  EXPECT_FALSE(std::filesystem::exists("s3:"));
  auto variables = Variables();
  variables.erase("SM_MODEL_DIR");
  ExpectRefusal(Run(job, variables), 64, {"s3://bucket/job/model", "SM_MODEL_DIR"});
  ExpectRefusal(Run(TrainWithoutChannels({"--checkpoint-dir", "s3://b/c"}), Variables()), 64,
                {"--checkpoint-dir", "checkpoints"});
}

TEST_F(Platform, GpusThatAreNotUsedAreMentioned) {
  auto variables = Variables();
  variables["SM_NUM_GPUS"] = "400";
  EXPECT_THAT(RunWell(TrainWithoutChannels(), variables).out,
              HasSubstr("# SM_NUM_GPUS allows 400 GPUs: using the CPU; --device auto or cuda"));
  EXPECT_THAT(RunWell(TrainWithoutChannels({"--device", "auto"}), variables).out,
              ContainsRegex("# (SM_NUM_GPUS allows 400 GPUs, .*: u|u)sing the CPU"));
  const Outcome refused = Run(TrainWithoutChannels({"--device", "cuda:400"}), variables);
  EXPECT_EQ(refused.code, 64);
  EXPECT_THAT(refused.err, HasSubstr("SM_NUM_GPUS allows 400 GPUs"));
  variables["SM_NUM_GPUS"] = "0";
  EXPECT_THAT(RunWell(TrainWithoutChannels(), variables).out, Not(HasSubstr("GPU")));
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
      RunWell(TrainWithoutChannels({"--epohcs", "9", "--colour=blue"}), Variables());
  EXPECT_THAT(
      outcome.out,
      HasSubstr("# options not known here: --epohcs 9 (did you mean --epochs?), --colour blue"));
}

TEST_F(Platform, StrictRefusesUnknownOptions) {
  ExpectRefusal(Run(TrainWithoutChannels({"--colour", "blue", "--strict"}), Variables()), 64,
                {"--colour blue", "--strict"});
}

TEST_F(Platform, FailureFileHoldsTheSameTextAndIsWrittenOnce) {
  scratch_.MakeDirectory("output");
  const Outcome first = Run(TrainWithoutChannels({"--optimizer", "none"}), Variables());
  ExpectRefusal(first, 64, {"optimizer", "none"});
  EXPECT_EQ("lockstep: " + ReadFile(Dir("output/failure")), first.err);
  ExpectRefusal(Run(TrainWithoutChannels({"--epochs", "0"}), Variables()), 64, {"epochs"});
  EXPECT_EQ("lockstep: " + ReadFile(Dir("output/failure")), first.err);
}

TEST_F(Platform, BrokenHyperparametersReachTheFailureFile) {
  const auto variables = MakeBase(R"({"epochs": )");
  const Outcome outcome = Run({"train"}, variables);
  ExpectRefusal(outcome, 64, {"hyperparameters.json"});
  EXPECT_EQ("lockstep: " + ReadFile(Dir("ml/output/failure")), outcome.err);
}

}  // namespace
}  // namespace lockstep::tools
