#include "tools/environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "kernels/error.h"
#include "tests/temporary_directory.h"

namespace lockstep::tools {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

// The error of reading `variables`, as "code: text".
std::string ErrorOf(const Variables& variables) {
  try {
    ReadEnvironment(variables);
  } catch (const Error& error) {
    return std::to_string(static_cast<int>(error.code())) + ": " + error.what();
  }
  return "no error";
}

std::vector<std::string> Dirs(const Environment& environment) {
  std::vector<std::string> dirs;
  for (const Channel& channel : environment.channels) {
    dirs.push_back(channel.name + "=" + channel.dir);
  }
  return dirs;
}

class EnvironmentTest : public ::testing::Test {
 protected:
  Environment Read(Variables variables = {}) const {
    variables["SAGEMAKER_BASE_DIR"] = base_.path();
    return ReadEnvironment(variables);
  }
  std::string ErrorWith(Variables variables = {}) const {
    variables["SAGEMAKER_BASE_DIR"] = base_.path();
    return ErrorOf(variables);
  }

  TemporaryDirectory base_;
};

TEST(EnvironmentOutsideThePlatformTest, NothingIsRequired) {
  if (std::filesystem::exists("/opt/ml")) GTEST_SKIP() << "this machine has a /opt/ml";
  const Environment environment = ReadEnvironment({});
  EXPECT_EQ(environment.base_dir, "/opt/ml");
  EXPECT_FALSE(environment.on_platform);
  EXPECT_TRUE(environment.channels.empty());
  EXPECT_EQ(environment.ChannelNames(), "none");
  EXPECT_EQ(environment.FindChannel("train"), nullptr);
  EXPECT_FALSE(environment.model_dir);
  EXPECT_FALSE(environment.output_dir);
  EXPECT_FALSE(environment.output_data_dir);
  EXPECT_FALSE(environment.checkpoint_dir);
  EXPECT_FALSE(environment.num_gpus);
  EXPECT_GE(environment.num_cpus, 1);
  EXPECT_THAT(environment.hosts, ElementsAre(environment.current_host));
  EXPECT_TRUE(environment.hyperparameters.empty());
}

TEST_F(EnvironmentTest, DirectoriesFollowTheBaseDirectory) {
  const Environment environment = Read();
  EXPECT_TRUE(environment.on_platform);
  EXPECT_EQ(environment.model_dir, base_ / "model");
  EXPECT_EQ(environment.output_dir, base_ / "output");
  EXPECT_EQ(environment.output_data_dir, base_ / "output/data");
  EXPECT_FALSE(environment.checkpoint_dir);
}

TEST_F(EnvironmentTest, VariablesOverrideDirectories) {
  const Environment environment =
      Read({{"SM_MODEL_DIR", "/m"}, {"SM_OUTPUT_DIR", "/o"}, {"SM_OUTPUT_DATA_DIR", "/d"}});
  EXPECT_EQ(environment.model_dir, "/m");
  EXPECT_EQ(environment.output_dir, "/o");
  EXPECT_EQ(environment.output_data_dir, "/d");
}

TEST_F(EnvironmentTest, OutputDataIsBelowOutput) {
  EXPECT_EQ(Read({{"SM_OUTPUT_DIR", "/o"}}).output_data_dir, "/o/data");
}

TEST_F(EnvironmentTest, CheckpointsAreUsedWhereThePlatformMadeThem) {
  base_.MakeDirectory("checkpoints");
  EXPECT_EQ(Read().checkpoint_dir, base_ / "checkpoints");
}

TEST_F(EnvironmentTest, TheOldNameOfTheCheckpointsFolderIsKnown) {
  base_.MakeDirectory("checkpoint");
  EXPECT_EQ(Read().checkpoint_dir, base_ / "checkpoint");
  base_.MakeDirectory("checkpoints");
  EXPECT_EQ(Read().checkpoint_dir, base_ / "checkpoints");
}

TEST_F(EnvironmentTest, ChannelsComeFromVariables) {
  const Environment environment = Read(
      {{"SM_CHANNEL_TRAIN", "/a"}, {"SM_CHANNEL_MY-CHAN", "/b"}, {"SM_CHANNELS", "[\"train\"]"}});
  EXPECT_THAT(Dirs(environment), ElementsAre("my_chan=/b", "train=/a"));
  EXPECT_EQ(environment.ChannelNames(), "my_chan, train");
}

TEST_F(EnvironmentTest, AChannelWhoseVariableTheShellDroppedIsFound) {
  const Environment environment =
      Read({{"SM_CHANNEL_TRAIN", "/a"}, {"SM_CHANNELS", "[\"My-Chan\", \"train\"]"}});
  EXPECT_THAT(Dirs(environment),
              ElementsAre("My-Chan=" + (base_ / "input/data/My-Chan"), "train=/a"));
  EXPECT_NE(environment.FindChannel("my_chan"), nullptr);
}

TEST_F(EnvironmentTest, ChannelsComeFromTheInputDataConfiguration) {
  const std::string config =
      R"({"my-chan": {"TrainingInputMode": "Pipe", "RecordWrapperType": "RecordIO",
                      "S3DistributionType": "ShardedByS3Key", "ContentType": "text/csv"},
          "b": {"TrainingInputMode": "File"}})";
  base_.Write("input/config/inputdataconfig.json", config);
  for (const Environment& environment : {Read(), Read({{"SM_INPUT_DATA_CONFIG", config}})}) {
    ASSERT_EQ(environment.channels.size(), 2u);
    const Channel* const channel = environment.FindChannel("my-chan");
    ASSERT_NE(channel, nullptr);
    EXPECT_EQ(channel->dir, base_ / "input/data/my-chan");
    EXPECT_TRUE(channel->pipe);
    EXPECT_TRUE(channel->sharded);
    EXPECT_TRUE(channel->record_io);
    EXPECT_EQ(channel->content_type, "text/csv");
    EXPECT_FALSE(environment.FindChannel("b")->pipe);
  }
}

TEST_F(EnvironmentTest, TheVariableDescribesBeforeTheFile) {
  base_.Write("input/config/inputdataconfig.json", R"({"a": {"TrainingInputMode": "Pipe"}})");
  EXPECT_FALSE(Read({{"SM_INPUT_DATA_CONFIG", R"({"a": {}})"}}).FindChannel("a")->pipe);
}

TEST_F(EnvironmentTest, DirectoriesAloneAreChannels) {
  base_.MakeDirectory("input/data/train");
  base_.MakeDirectory("input/data/.hidden");
  base_.Write("input/data/manifest.json", "{}");
  EXPECT_THAT(Dirs(Read()), ElementsAre("train=" + (base_ / "input/data/train")));
}

TEST_F(EnvironmentTest, TrainAndTrainingStandForEachOther) {
  const Environment one = Read({{"SM_CHANNEL_TRAINING", "/t"}});
  ASSERT_NE(one.FindChannel("train"), nullptr);
  EXPECT_EQ(one.FindChannel("train")->dir, "/t");
  const Environment both = Read({{"SM_CHANNEL_TRAINING", "/t"}, {"SM_CHANNEL_TRAIN", "/u"}});
  EXPECT_EQ(both.FindChannel("train")->dir, "/u");
  EXPECT_EQ(both.FindChannel("training")->dir, "/t");
}

TEST_F(EnvironmentTest, TheTestChannelIsNotTheOutputDirectory) {
  // X3: the notebook's excerpt takes SM_OUTPUT_DATA_DIR for --test.
  const Environment environment =
      Read({{"SM_CHANNEL_TEST", "/test"}, {"SM_OUTPUT_DATA_DIR", "/out"}});
  EXPECT_EQ(environment.FindChannel("test")->dir, "/test");
}

TEST_F(EnvironmentTest, ChannelNamesNeverLeaveTheDataDirectory) {
  for (const char* name : {"../x", "/etc", "", ".", "..", "a/b", "a\\u0000b"}) {
    const std::string json = "[\"" + std::string(name) + "\"]";
    EXPECT_THAT(ErrorWith({{"SM_CHANNELS", json}}),
                StartsWith("64: SM_CHANNELS: found channel name"))
        << name;
  }
}

TEST_F(EnvironmentTest, TheMachinesOwnFileKnowsTheHostBetterThanTheMastersVariables) {
  base_.Write("input/config/resourceconfig.json",
              R"({"current_host": "algo-2", "hosts": ["algo-1", "algo-2"],
                  "network_interface_name": "eth1"})");
  const Environment environment = Read({{"SM_CURRENT_HOST", "algo-1"},
                                        {"SM_HOSTS", R"(["algo-1", "algo-2"])"},
                                        {"SM_NETWORK_INTERFACE_NAME", "eth0"}});
  EXPECT_EQ(environment.current_host, "algo-2");
  EXPECT_THAT(environment.hosts, ElementsAre("algo-1", "algo-2"));
  EXPECT_EQ(environment.network_interface, "eth1");
}

TEST_F(EnvironmentTest, HostsComeFromVariablesWhereThereIsNoFile) {
  const Environment environment = Read({{"SM_CURRENT_HOST", "algo-1"},
                                        {"SM_HOSTS", R"(["algo-1", "algo-2"])"},
                                        {"SM_NETWORK_INTERFACE_NAME", "eth0"}});
  EXPECT_EQ(environment.current_host, "algo-1");
  EXPECT_EQ(environment.network_interface, "eth0");
}

TEST_F(EnvironmentTest, ABadClusterDescriptionHasItsOwnExitCode) {
  const auto error = [&](const std::string& config) {
    base_.Write("input/config/resourceconfig.json", config);
    return ErrorWith();
  };
  EXPECT_THAT(error(R"({"hosts": ["a"]})"),
              AllOf(StartsWith("78: "), HasSubstr("no current_host")));
  EXPECT_THAT(error(R"({"current_host": "a"})"), AllOf(StartsWith("78: "), HasSubstr("no hosts")));
  EXPECT_THAT(error(R"({"current_host": "c", "hosts": ["a", "b"]})"),
              AllOf(StartsWith("78: "), HasSubstr("this host, 'c', is not listed")));
  EXPECT_THAT(error(R"({"current_host": "a", "hosts": ["a", "a"]})"), StartsWith("78: "));
  EXPECT_THAT(error(R"({"current_host": "a", "hosts": "a"})"),
              AllOf(StartsWith("78: "), HasSubstr("wanted a list")));
  EXPECT_THAT(error(R"({"current_host": 5, "hosts": ["a"]})"), StartsWith("78: "));
  EXPECT_THAT(error("[]"), StartsWith("78: "));
  EXPECT_THAT(error("{"), AllOf(StartsWith("78: "), HasSubstr("malformed JSON")));
}

TEST_F(EnvironmentTest, ABadClusterInVariablesHasItToo) {
  for (const char* hosts : {"[", "{}", "[1]", "[]", R"(["b"])"}) {
    EXPECT_THAT(ErrorWith({{"SM_HOSTS", hosts}, {"SM_CURRENT_HOST", "a"}}),
                AllOf(StartsWith("78: "), HasSubstr("SM_HOSTS")))
        << hosts;
  }
  utsname machine;
  ASSERT_EQ(::uname(&machine), 0);
  EXPECT_THAT(ErrorWith({{"SM_HOSTS", R"(["no-such-host"])"}}),
              HasSubstr("this host, '" + std::string(machine.nodename) + "'"));
  EXPECT_THAT(ErrorWith({{"OMPI_COMM_WORLD_SIZE", "two"}}),
              AllOf(StartsWith("78: "), HasSubstr("OMPI_COMM_WORLD_SIZE")));
}

TEST_F(EnvironmentTest, ProcessesAreThoseOfMpisLauncher) {
  EXPECT_EQ(Read().processes, 1);
  EXPECT_EQ(Read({{"OMPI_COMM_WORLD_SIZE", "4"}}).processes, 4);
  EXPECT_EQ(Read({{"PMI_SIZE", "3"}}).processes, 3);
}

TEST_F(EnvironmentTest, HyperparametersReadAsArgvWouldShowThem) {
  const std::string path = base_.Write(
      "input/config/hyperparameters.json",
      R"({"epochs": "20", "flag": "true", "text": "hello world", "lead": "007", "plain": 5,
          "sagemaker_program": "\"train.sh\"", "sagemaker_job_name": "\"job-7\"",
          "_tuning_objective_metric": "\"x\""})");
  const Environment environment = Read();
  ASSERT_EQ(environment.hyperparameters.size(), 1u);
  EXPECT_EQ(environment.hyperparameters[0].source, path);
  EXPECT_THAT(
      environment.hyperparameters[0].values,
      UnorderedElementsAre(Pair("epochs", "20"), Pair("flag", "True"), Pair("text", "hello world"),
                           Pair("lead", "007"), Pair("plain", "5")));
  EXPECT_EQ(environment.framework_parameters.at("sagemaker_program"), "train.sh");
  EXPECT_EQ(environment.job_name, "job-7");
}

TEST_F(EnvironmentTest, SmHpsComesBeforeTheFileAndIsNotDecodedTwice) {
  base_.Write("input/config/hyperparameters.json", R"({"a": "1"})");
  const Environment environment = Read({{"SM_HPS", R"({"a": 2, "b": "true"})"}});
  ASSERT_EQ(environment.hyperparameters.size(), 2u);
  EXPECT_EQ(environment.hyperparameters[0].source, "SM_HPS");
  EXPECT_EQ(environment.hyperparameters[0].values.at("b"), "true");
}

TEST_F(EnvironmentTest, MalformedJsonIsNamedWithItsPlace) {
  EXPECT_EQ(ErrorWith({{"SM_HPS", "{\"a\": }"}}),
            "64: SM_HPS: malformed JSON, byte 6 (line 1, column 7), at '}'");
  EXPECT_THAT(ErrorWith({{"SM_CHANNELS", "[train]"}}), StartsWith("64: SM_CHANNELS: malformed"));
  EXPECT_THAT(ErrorWith({{"SM_HPS", "[]"}}), HasSubstr("wanted a JSON object"));
  EXPECT_THAT(ErrorWith({{"SM_INPUT_DATA_CONFIG", "3"}}), HasSubstr("wanted a JSON object"));
  EXPECT_THAT(ErrorWith({{"SM_CHANNELS", "{}"}}), HasSubstr("wanted a JSON list"));
  for (const char* name : {"hyperparameters", "inputdataconfig", "resourceconfig"}) {
    const TemporaryDirectory base;
    const std::string path = base.Write(std::string("input/config/") + name + ".json", "{\n \"a\"");
    EXPECT_EQ(ErrorOf({{"SAGEMAKER_BASE_DIR", base.path()}}),
              (std::string(name) == "resourceconfig" ? "78: " : "64: ") + path +
                  ": malformed JSON, byte 6 (line 2, column 5), where it ends");
  }
}

TEST_F(EnvironmentTest, AConfigurationFileThatIsNoFileIsAnError) {
  base_.MakeDirectory("input/config/hyperparameters.json");
  EXPECT_THAT(ErrorWith(), AllOf(StartsWith("66: "), HasSubstr("not a regular file")));
}

TEST_F(EnvironmentTest, APipeForAConfigurationFileDoesNotHang) {
  base_.MakeDirectory("input/config");
  ASSERT_EQ(::mkfifo((base_ / "input/config/hyperparameters.json").c_str(), 0600), 0);
  EXPECT_THAT(ErrorWith(), StartsWith("66: "));
}

TEST_F(EnvironmentTest, CountsAreWholeNumbers) {
  const Environment environment = Read({{"SM_NUM_GPUS", "0"}, {"SM_NUM_CPUS", "64"}});
  EXPECT_EQ(environment.num_gpus, 0);
  EXPECT_EQ(environment.num_cpus, 64);
  for (const char* text : {"two", "-1", "1.5", "1 ", "99999999999999"}) {
    EXPECT_EQ(ErrorWith({{"SM_NUM_GPUS", text}}), std::string("64: SM_NUM_GPUS: found '") + text +
                                                      "', wanted a whole number from 0 up");
  }
  EXPECT_FALSE(Read({{"SM_NUM_GPUS", ""}}).num_gpus);
}

TEST_F(EnvironmentTest, TheJobsNameComesFromTheFirstVariableThatHasIt) {
  EXPECT_EQ(Read({{"TRAINING_JOB_NAME", "a"}}).job_name, "a");
  EXPECT_EQ(Read({{"TRAINING_JOB_NAME", "a"}, {"SAGEMAKER_JOB_NAME", "b"}}).job_name, "b");
}

TEST(ProcessVariablesTest, AreTheProcesss) {
  ::setenv("LOCKSTEP_TEST_VARIABLE", "a=b", 1);
  EXPECT_EQ(ProcessVariables().at("LOCKSTEP_TEST_VARIABLE"), "a=b");
}

}  // namespace
}  // namespace lockstep::tools
