// What the real SageMaker training toolkit 5.1.4 produces: every row of its table of
// hyperparameters, and a whole captured launch.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tuple>

#include "tests/temporary_directory.h"
#include "tests/tools/captures.h"
#include "tools/environment.h"
#include "tools/options.h"

namespace lockstep::tools {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

// The text of hyperparameters.json, and the argument the toolkit makes of it.
using Row = std::tuple<std::string, std::string>;

class ToolkitTableTest : public ::testing::TestWithParam<Row> {};

TEST_P(ToolkitTableTest, TheFileReadsAsTheArgument) {
  const auto& [json, argument] = GetParam();
  const TemporaryDirectory base;
  base.Write("input/config/hyperparameters.json", "{\"x\": " + json + "}");
  const Environment environment = ReadEnvironment({{"SAGEMAKER_BASE_DIR", base.path()}});
  EXPECT_EQ(environment.hyperparameters.at(0).values.at("x"), argument);
}

TEST_P(ToolkitTableTest, TheArgumentIsTakenAsOneValue) {
  const auto& [json, argument] = GetParam();
  std::string value = "default";
  int after = 0;
  Options options("program", "");
  options.Add("x", &value, "");
  options.Add("z", &after, "");
  options.Parse(std::vector<std::string>{"-x", argument, "-z", "1"});
  EXPECT_EQ(value, argument.empty() ? "default" : argument);
  EXPECT_EQ(after, 1);
  EXPECT_THAT(options.unknown(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(
    Rows, ToolkitTableTest,
    ::testing::Values(Row{R"("20")", "20"}, Row{R"("0.05")", "0.05"}, Row{R"("1e-3")", "0.001"},
                      Row{R"("1e-5")", "1e-05"}, Row{R"("true")", "True"},
                      Row{R"("false")", "False"}, Row{R"("null")", ""}, Row{R"("")", ""},
                      Row{R"("\"a str\"")", "a str"}, Row{R"("hello world")", "hello world"},
                      Row{R"("[1, 2, \"x\"]")", "[1, 2, 'x']"},
                      Row{R"("{\"a\": 1, \"b\": [2,3]}")", "a=1,b=[2, 3]"}, Row{R"("007")", "007"},
                      Row{R"("12345678901234567890")", "12345678901234567890"},
                      Row{R"("50%")", "50%"}, Row{R"("it's $HOME; `x`")", "it's $HOME; `x`"},
                      Row{"true", "True"}, Row{"1e-5", "1e-05"}, Row{"null", ""},
                      Row{R"([1, 2, "x"])", "[1, 2, 'x']"}));

// argv and environment of the captured launch.
struct Launch {
  std::vector<std::string> arguments;
  Variables variables;
};

Launch ReadLaunch(const std::string& path) {
  Launch launch;
  std::ifstream lines(path);
  for (std::string line; std::getline(lines, line);) {
    const size_t equals = line.find('=');
    if (line.starts_with("ARGV[") && !line.starts_with("ARGV[0]")) {
      launch.arguments.push_back(line.substr(equals + 1));
    } else if (line.starts_with("ENV ") && equals != std::string::npos) {
      launch.variables.emplace(line.substr(4, equals - 4), line.substr(equals + 1));
    }
  }
  return launch;
}

TEST(ToolkitLaunchTest, ArgumentsVariablesAndFilesSayTheSame) {
  LOCKSTEP_NEEDS_FIXTURE(capture, "toolkit/single_host_argv_env.txt");
  Launch launch = ReadLaunch(capture);
  ASSERT_EQ(launch.arguments.size(), 36u);
  const TemporaryDirectory base;
  for (const char* name : {"hyperparameters", "inputdataconfig", "resourceconfig"}) {
    base.Write(std::string("input/config/") + name + ".json",
               ReadFile(Fixture("toolkit/single_" + std::string(name) + ".json")));
  }
  launch.variables["SAGEMAKER_BASE_DIR"] = base.path();
  const Environment environment = ReadEnvironment(launch.variables);
  ASSERT_EQ(environment.hyperparameters.size(), 2u);
  const auto& from_variable = environment.hyperparameters[0].values;
  EXPECT_EQ(from_variable, environment.hyperparameters[1].values);
  ASSERT_EQ(from_variable.size(), 18u);
  for (size_t i = 0; i < launch.arguments.size(); i += 2) {
    const std::string& name = launch.arguments[i];
    EXPECT_EQ(from_variable.at(name.substr(name.starts_with("--") ? 2 : 1)),
              launch.arguments[i + 1]);
  }
}

TEST(ToolkitLaunchTest, TheEnvironmentIsUnderstood) {
  LOCKSTEP_NEEDS_FIXTURE(capture, "toolkit/single_host_argv_env.txt");
  Launch launch = ReadLaunch(capture);
  launch.variables["SAGEMAKER_BASE_DIR"] = "/nonexistent";
  const Environment environment = ReadEnvironment(launch.variables);
  EXPECT_EQ(environment.ChannelNames(), "my-chan, test, train");
  EXPECT_EQ(environment.FindChannel("train")->dir, "/opt/ml/input/data/train");
  EXPECT_EQ(environment.FindChannel("train")->content_type, "application/x-npy");
  EXPECT_TRUE(environment.FindChannel("test")->pipe);
  EXPECT_TRUE(environment.FindChannel("test")->record_io);
  EXPECT_EQ(environment.model_dir, "/opt/ml/model");
  EXPECT_EQ(environment.output_dir, "/opt/ml/output");
  EXPECT_EQ(environment.output_data_dir, "/opt/ml/output/data");
  EXPECT_EQ(environment.num_gpus, 0);
  EXPECT_EQ(environment.num_cpus, 2);
  EXPECT_EQ(environment.current_host, "algo-1");
  EXPECT_EQ(environment.network_interface, "eth0");
  EXPECT_EQ(environment.job_name, "job-2026");
}

TEST(ToolkitLaunchTest, TheArgumentsAreUnderstood) {
  LOCKSTEP_NEEDS_FIXTURE(capture, "toolkit/single_host_argv_env.txt");
  const Launch launch = ReadLaunch(capture);
  int epochs = 50, batch_size = 0, b = 0;
  double learning_rate = 0, tiny = 0;
  bool flag = false, off = true;
  std::vector<std::string> list;
  std::map<std::string, std::string> nested;
  std::string empty = "default", weird;
  Options options("program", "");
  options.Add("epochs", &epochs, "");
  options.Add("batch_size", &batch_size, "");
  options.Add("b", &b, "");
  options.Add("learning-rate", &learning_rate, "");
  options.Add("tiny", &tiny, "");
  options.Add("flag", &flag, "");
  options.Add("off", &off, "");
  options.Add("list", &list, "");
  options.Add("nested", &nested, "");
  options.Add("empty", &empty, "");
  options.Add("weird", &weird, "");
  options.Parse(launch.arguments);
  EXPECT_EQ(epochs, 20);
  EXPECT_EQ(batch_size, 64);
  EXPECT_EQ(b, 7);
  EXPECT_EQ(learning_rate, 0.05);
  EXPECT_EQ(tiny, 1e-5);
  EXPECT_TRUE(flag);
  EXPECT_FALSE(off);
  EXPECT_THAT(list, ElementsAre("1", "2", "x"));
  EXPECT_THAT(nested, ElementsAre(Pair("a", "1"), Pair("b", "[2, 3]")));
  EXPECT_EQ(empty, "default");
  EXPECT_EQ(weird, "it's $HOME; `x`");
  EXPECT_THAT(options.unknown(),
              ElementsAre("--big 12345678901234567890", "--leadzero 007", "--name hello world",
                          "--none", "--pct 50%", "--quoted a str", "--sci 0.001"));
}

TEST(ToolkitLaunchTest, EveryRankKnowsItsOwnHost) {
  LOCKSTEP_NEEDS_FIXTURE(config, "toolkit/mpi2_resourceconfig.json");
  const TemporaryDirectory base;
  std::string on_second = ReadFile(config);
  on_second.replace(on_second.find("algo-1"), 6, "algo-2");
  base.Write("input/config/resourceconfig.json", on_second);
  const Environment environment =
      ReadEnvironment({{"SAGEMAKER_BASE_DIR", base.path()}, {"SM_CURRENT_HOST", "algo-1"}});
  EXPECT_EQ(environment.current_host, "algo-2");
  EXPECT_THAT(environment.hosts, ElementsAre("algo-1", "algo-2"));
}

}  // namespace
}  // namespace lockstep::tools
