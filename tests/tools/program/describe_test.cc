// `lockstep inspect`, `lockstep bench train`, and the help of every verb.
#include <gmock/gmock.h>

#include <cmath>
#include <filesystem>
#include <regex>

#include "data/npy.h"
#include "data/npz.h"
#include "tests/tools/program/workplace.h"
#include "tools/value.h"

namespace lockstep::tools {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class Verbs : public Workplace {};

TEST_F(Verbs, WhoseOutputIsLostFail) {
  RunWell(Train());
  ProgramSetting full = Setting();
  full.launcher = {"/bin/sh", "-c", "exec \"$@\" >/dev/full", "sh"};
  ProgramSetting closed = Setting();
  closed.closed_stdout = true;
  for (const Arguments& arguments :
       {Arguments{"--help"},
        {"--version"},
        {"train", "--help"},
        {"predict", "--help"},
        {"inspect", Dir("model")},
        {"inspect", "--plan", "--model", "dnn", "--sample", "7"},
        {"bench", "--help"},
        {"bench", "train", "--model", "dnn", "--steps", "1"},
        {"predict", "--model-dir", Dir("model"), "--channel", Dir("test")}}) {
    ExpectRefusal(RunProgram(arguments, full), 74, {"standard output", "No space"});
    EXPECT_EQ(RunProgram(arguments, closed).code, 0) << arguments.front();
  }
  EXPECT_EQ(RunProgram(Train(), full).code, 0);
}

TEST_F(Verbs, OfOneProcessRefuseToRunInSeveral) {
  for (const Arguments& verb : {Arguments{"inspect", Dir("train/data.npz")}, {"predict"}}) {
    ExpectRefusal(Run(verb, {{"OMPI_COMM_WORLD_SIZE", "2"}}), 64, {"one process", "started 2"});
  }
  RunWell({"inspect", Dir("train/data.npz")}, {{"OMPI_COMM_WORLD_SIZE", "1"}});
}

TEST_F(Verbs, CountOneInTheSingular) {
  const Outcome train = RunWell(Train({"--epochs", "1", "--classes", "7", "--hidden", "1"}, "job"));
  const std::string all =
      train.out + RunWell({"inspect", Dir("jobmodel"), Dir("job")}).out +
      RunWell({"bench", "train", "--model", "dnn", "--steps", "1", "--threads", "1"}).out +
      RunWell({"bench", "train", "--model", "dnn", "--first-step", "--threads", "1"}).out;
  EXPECT_THAT(all, AllOf(HasSubstr(", 1 thread\n"), HasSubstr(", 1 thread:")));
  std::smatch found;
  EXPECT_FALSE(std::regex_search(all, found, std::regex("(^|[^0-9.])1 [a-z]{2,}s[^a-z]")))
      << found.str();
}

// libgomp prints its settings when it is loaded.
TEST_F(Verbs, BoundHowLongThreadsSpinUnlessTheUserSays) {
  const auto settings = [&](const std::map<std::string, std::string>& variables) {
    ProgramSetting setting = Setting();
    setting.variables["OMP_DISPLAY_ENV"] = "verbose";
    for (const auto& [name, value] : variables) setting.variables[name] = value;
    return RunProgram({"--version"}, setting).err;
  };
  EXPECT_THAT(settings({}), HasSubstr("GOMP_SPINCOUNT = '5000'"));
  EXPECT_THAT(settings({{"GOMP_SPINCOUNT", "77"}}), HasSubstr("GOMP_SPINCOUNT = '77'"));
  EXPECT_THAT(settings({{"OMP_WAIT_POLICY", "passive"}}), HasSubstr("GOMP_SPINCOUNT = '0'"));
}

class Inspect : public Workplace {};

TEST_F(Inspect, ModelFile) {
  RunWell(Train());
  for (const std::string& path : {Dir("model"), Dir("model/model.npz")}) {
    EXPECT_THAT(RunWell({"inspect", path}).out,
                AllOf(HasSubstr("6 arrays"), HasSubstr("predictor/l1/W"), HasSubstr("(9, 20)"),
                      HasSubstr("network: mlp")));
  }
}

TEST_F(Inspect, ModelCard) {
  RunWell(Train({"--mean", "0.5", "--seed", "3"}));
  const auto says =
      AllOf(HasSubstr("network: mlp on samples of 20 numbers, 10 outputs, hidden 9 8"),
            HasSubstr("input: scale 1, mean 0.5\n"),
            HasSubstr("trained: 10 iterations, float32, seed 3, fast\nweights sha256: "));
  EXPECT_THAT(RunWell({"inspect", Dir("model/model.json")}).out, says);
  EXPECT_THAT(RunWell({"inspect", Dir("model")}).out, says);
  scratch_.Write("model/model.json", "{}");
  for (const char* path : {"model", "model/model.json"}) {
    ExpectRefusal(Run({"inspect", Dir(path)}), 65, {"model.json"});
  }
}

TEST_F(Inspect, SaysTheShapeThatWasTrainedOn) {
  const std::string channel =
      Channel("planes", {{"data", Vectors(40).at("data").Reshape({40, 1, 4, 5})},
                         {"labels", Vectors(40).at("labels")}});
  RunWell(With(With(Train(), "--train", channel), "--test", channel));
  for (const char* path : {"model", "model/model.npz", "model/model.json"}) {
    EXPECT_THAT(
        RunWell({"inspect", Dir(path)}).out,
        AllOf(HasSubstr("network: mlp on samples of (1, 4, 5)"), Not(HasSubstr("20 numbers"))));
  }
  std::filesystem::remove(Dir("model/model.json"));
  EXPECT_THAT(RunWell({"inspect", Dir("model")}).out, HasSubstr("mlp on samples of 20 numbers"));
}

TEST_F(Inspect, ArrayFiles) {
  const std::vector<float> numbers = {-1.5F, 2.0F, std::nanf(""), 0.0F, 1.0F, 7.25F};
  const Tensor array = Tensor::FromValues<float>(Shape({3, 2}), numbers);
  const std::vector<uint8_t> npy = WriteNpy(array);
  scratch_.Write("a.npy", {npy.begin(), npy.end()});
  EXPECT_THAT(RunWell({"inspect", Dir("a.npy")}).out,
              AllOf(HasSubstr("a.npy: array file\n"), HasSubstr("<f4"),
                    HasSubstr("(3, 2)  -1.5 to 7.25 and 1 not finite\n")));
  EXPECT_THAT(
      RunWell({"inspect", Dir("train/data.npz")}).out,
      AllOf(HasSubstr("data set of 70 samples (20,) with labels, 2 arrays, 1470 elements\n"),
            Not(HasSubstr("network")), HasSubstr("(70, 20)  -0.997 to 2.964\n"),
            HasSubstr("(70,)  0 to 6\n")));
  NpzWriter numbers_only;
  numbers_only.Add("numbers", array);
  const std::vector<uint8_t> npz = numbers_only.ToBytes();
  scratch_.Write("a.npz", {npz.begin(), npz.end()});
  EXPECT_THAT(
      RunWell({"inspect", Dir("a.npz")}).out,
      AllOf(HasSubstr("npz file, 1 array, 6 elements"), HasSubstr("network: none of ours")));
  scratch_.Write("cut.npy", {npy.begin(), npy.end() - 1});
  ExpectRefusal(Run({"inspect", Dir("cut.npy")}), 65, {"cut.npy"});
  scratch_.Write("text.npy", "no array");
  ExpectRefusal(Run({"inspect", Dir("text.npy")}), 65, {"text.npy"});
}

TEST_F(Inspect, CheckpointFileAndDirectory) {
  RunWell(Train({}, "job"));
  for (const std::string& path : {Dir("job"), Dir("job/checkpoint_10.lsc")}) {
    EXPECT_THAT(RunWell({"inspect", path}).out,
                AllOf(HasSubstr("variables/predictor/l1/W"), HasSubstr("trainer/iteration = 10"),
                      HasSubstr("optimizer/v/predictor/l3/b")));
  }
}

TEST_F(Inspect, PlanOfAModelAndOfANamedNetwork) {
  RunWell(Train());
  EXPECT_THAT(
      RunWell({"inspect", Dir("model"), "--plan", "--batch-size", "5", "--threads", "1"}).out,
      AllOf(StartsWith("train plan, batch 5"), HasSubstr("predictor/l1")));
  EXPECT_THAT(RunWell({"inspect", "--plan", "--model", "lenet", "--sample", "1,13,13", "--width",
                       "0.25", "--mode", "predict", "--batch-size", "3", "--threads", "1"})
                  .out,
              AllOf(StartsWith("predict plan, batch 3"), HasSubstr("conv1")));
}

TEST_F(Inspect, PlansAreTimedLineByLine) {
  for (const std::string mode : {"train", "evaluate", "predict"}) {
    for (const std::string model : {"lenet", "mlp"}) {
      const std::string sample = model == "mlp" ? "300" : "1,13,13";
      const std::string out = RunWell({"inspect", "--plan", "--profile", "--model", model,
                                       "--sample", sample, "--mode", mode, "--batch-size", "3"})
                                  .out;
      EXPECT_THAT(out, StartsWith(mode + " plan, batch 3"));
      EXPECT_THAT(out, HasSubstr("measured peak: "));
      EXPECT_THAT(out, ContainsRegex("\n +[0-9]+ linear forward +[0-9]+\\.[0-9]{3} "));
      EXPECT_THAT(out, ContainsRegex("\nall lines +[0-9]+\\.[0-9]{3} ms"));
      EXPECT_THAT(out, Not(ContainsRegex("\nall lines +0\\.000 ms")));
    }
  }
  RunWell(Train());
  EXPECT_THAT(RunWell({"inspect", Dir("model"), "--plan", "--profile"}).out,
              HasSubstr("predictor/l1"));
  ExpectRefusal(Run({"inspect", Dir("model"), "--profile"}), 64, {"--plan"});
}

TEST_F(Inspect, RefusesWhatItCannotRead) {
  scratch_.Write("text.npz", "no archive");
  scratch_.Write("text.lsc", "no checkpoint");
  scratch_.Write("text.txt", "no kind of ours");
  scratch_.Write("p", "P");
  for (const char* path : {"text.txt", "p"}) {
    ExpectRefusal(Run({"inspect", Dir(path)}), 65,
                  {path, "model.npz", "model.json", ".lsc", ".npy", "snapshots"});
  }
  ExpectRefusal(Run({"inspect", Dir("text.npz")}), 65, {"text.npz"});
  ExpectRefusal(Run({"inspect", Dir("text.lsc")}), 65, {"text.lsc"});
  ExpectRefusal(Run({"inspect", Dir("absent")}), 66, {"absent"});
  ExpectRefusal(Run({"inspect", Dir(std::string(300, 'x'))}), 66, {"cannot inspect", "xxx"});
  ExpectRefusal(Run({"inspect", std::string(5000, 'x')}), 66, {"cannot inspect", "xxx"});
  ExpectRefusal(Run({"inspect", "--plan", "--model", "vgg", Dir("train")}), 64, {"either"});
  ExpectRefusal(Run({"inspect", Dir("train")}), 66, {"model.npz"});
  ExpectRefusal(Run({"inspect"}), 64, {"--plan"});
  ExpectRefusal(Run({"inspect", "--plan"}), 64, {"--model"});
  ExpectRefusal(Run({"inspect", "--plan", "--model", "resnet"}), 64, {"resnet"});
  for (const char* sample : {"3,-1,8", "9223372036854775807", "99999,99999,9", "1,1,1,1"}) {
    ExpectRefusal(Run({"inspect", "--plan", "--model", "vgg", "--sample", sample}), 64,
                  {"--sample"});
  }
  ExpectRefusal(Run({"inspect", "--plan", "--model", "vgg", "--sample", "3,5"}), 64, {"(3, 5)"});
  for (const Arguments& verb : {Arguments{"inspect", "--plan", "--model", "mlp"},
                                {"bench", "train"},
                                {"predict", "--model-dir", Dir("model")}}) {
    ExpectRefusal(Run(verb + Arguments{"--batch-size", "9223372036854775807"}), 64,
                  {"--batch-size", "up to 1000000000"});
  }
}

class Bench : public Workplace {};

TEST_F(Bench, PrintsOneJsonObject) {
  const Outcome outcome = RunWell({"bench", "train", "--model", "dnn", "--batch-size", "8",
                                   "--steps", "3", "--threads", "1", "--json"});
  const Value json = ParseJson(outcome.out, "stdout");
  ASSERT_EQ(json.kind, Value::Kind::kMap);
  for (const char* key : {"engine", "device", "threads", "model", "batch_size", "steps",
                          "median_ms", "min_ms", "images_per_s", "peak_rss_mb"}) {
    EXPECT_NE(json.Find(key), nullptr) << key;
  }
}

TEST_F(Bench, TakesSamplesOfAChannel) {
  const Arguments command = {"bench",      "train",   "--model", "mlp",       "--train",
                             Dir("train"), "--steps", "2",       "--threads", "1"};
  EXPECT_THAT(RunWell(command + Arguments{"--batch-size", "7", "--profile"}).out,
              AllOf(StartsWith("mlp, batch 7"), HasSubstr("predictor/l1/W/grad (1000, 20)")));
  ExpectRefusal(Run(command + Arguments{"--batch-size", "1000"}), 65,
                {Dir("train"), "fewer than a batch of 1000", "lower --batch-size"});
  ExpectRefusal(Run({"bench", "train", "--train", Dir("nowhere")}), 66, {"nowhere"});
}

TEST_F(Bench, ProfilesEveryLineOfThePlan) {
  const std::string out =
      RunWell({"bench", "train", "--model", "lenet", "--batch-size", "64", "--steps", "2",
               "--threads", "1", "--device", "cpu", "--profile"})
          .out;
  std::smatch found;
  ASSERT_TRUE(std::regex_search(out, found, std::regex("\nmeasured peak: ([0-9]+) GFLOP/s, ")));
  const double peak = std::stod(found[1]);
  ASSERT_GT(peak, 0.0);
  ASSERT_TRUE(std::regex_search(out, found, std::regex("\nall lines +([0-9.]+) ms +([0-9.]+) GF")));
  const double all = std::stod(found[1]);
  EXPECT_GT(std::stod(found[2]), 0.0);
  ASSERT_TRUE(
      std::regex_search(out, found, std::regex("\nupdate +([0-9.]+) ms +([0-9.]+) GB/s\n")));
  EXPECT_GT(std::stod(found[1]), 0.0);
  EXPECT_GT(std::stod(found[2]), 0.0);

  const auto length = [&](const char* pattern) {
    return std::regex_search(out, found, std::regex(pattern)) ? found.length() : 0;
  };
  EXPECT_EQ(length("\nline kind [^\n]*? share"), length("\n   0 [^\n%]*%"));  // the head fits

  // Number, kind and algorithm; ms, GFLOP/s and share, GB/s and share; value.
  const std::regex row(
      "\n +([0-9]+) ([a-z ]+[a-z])  [a-z0-9_ ]* ([0-9.]+) +([0-9.]+) +([0-9]+)% +[0-9.]+ +[0-9]+%  "
      "([^\n]*)");
  double sum = 0.0;
  int lines = 0, products = 0, known = 0;
  for (std::sregex_iterator line(out.begin(), out.end(), row), end; line != end; ++line) {
    SCOPED_TRACE(line->str());
    const std::string kind = (*line)[2], value = (*line)[6];
    const double ms = std::stod((*line)[3]), gflops = std::stod((*line)[4]);
    EXPECT_EQ(std::stoi((*line)[1]), lines++);
    sum += ms;
    if (!std::regex_search(kind, std::regex("^((pooled )?conv|linear) "))) continue;
    ++products;
    EXPECT_GT(ms, 0.0);
    EXPECT_GT(gflops, 0.0);
    const double share = 100.0 * gflops / peak;
    EXPECT_NEAR(std::stod((*line)[5]), share, 1.0 + (50.0 * gflops / peak + 5.0) / peak);
    if (value != "predictor/relu1 (64, 500)" && value != "predictor/fc1/W/grad (500, 800)")
      continue;
    ++known;  // 2 * 64 * 500 * 800 operations
    EXPECT_NEAR(ms * gflops, 51.2, 0.06 * ms + 0.0006 * gflops);
  }
  EXPECT_EQ(products, 11);  // three of each layer, but no gradient of the pictures
  EXPECT_EQ(known, 2);
  EXPECT_NEAR(sum, all, 0.0006 * (lines + 1));
}

TEST_F(Bench, MeasuresTheFirstStep) {
  const Arguments command = {"bench",        "train", "--model",   "dnn", "--first-step",
                             "--batch-size", "8",     "--threads", "1"};
  const Value json = ParseJson(RunWell(command + Arguments{"--json"}).out, "stdout");
  const Value* const ms = json.Find("first_step_ms");
  ASSERT_NE(ms, nullptr);
  const double value = std::stod(PythonStr(*ms));
  EXPECT_GT(value, 0.0);
  EXPECT_LT(value, 600e3);
  EXPECT_THAT(RunWell(command).out, HasSubstr("first step"));
}

TEST_F(Bench, PrintsWordsToo) {
  RunWell({"bench", "train", "--model", "dnn", "--steps", "2", "--lanes", "3"});
  EXPECT_THAT(RunWell({"bench", "train", "--model", "lenet", "--width", "0.25", "--batch-size", "2",
                       "--steps", "1", "--warm-up", "0", "--threads", "1"})
                  .out,
              AllOf(HasSubstr("images/s"), HasSubstr("MB peak")));
}

TEST_F(Bench, ReadsArchives) {
  const std::string archive = Dir("train/data.npz");
  EXPECT_THAT(RunWell({"bench", "read", archive, archive, "--rounds", "2", "--threads", "1"}).out,
              AllOf(StartsWith(archive + ": "), HasSubstr(" MB/s\n" + archive + ": ")));
  const Value json = ParseJson(RunWell({"bench", "read", archive, "--json"}).out, "stdout");
  const Value* const megabytes = json.Find("megabytes");
  ASSERT_NE(megabytes, nullptr);
  const NpzReader reader(archive);
  const auto bytes = reader.MemberBytes("data") + reader.MemberBytes("labels");
  EXPECT_NEAR(std::stod(PythonStr(*megabytes)), static_cast<double>(bytes) / 1e6, 1e-3);
  const Value* const speed = json.Find("mb_per_s");
  ASSERT_NE(speed, nullptr);
  EXPECT_GT(std::stod(PythonStr(*speed)), 0.0);
  ExpectRefusal(Run({"bench", "read"}), 64, {"npz archive"});
  ExpectRefusal(Run({"bench", "read", Dir("nowhere.npz")}), 66, {"nowhere.npz"});
  std::string damaged = ReadFile(archive);
  damaged.resize(damaged.size() / 2);
  scratch_.Write("cut.npz", damaged);
  ExpectRefusal(Run({"bench", "read", Dir("cut.npz")}), 65, {"cut.npz"});
}

TEST_F(Bench, RefusesUnknownNetworksAndOptions) {
  ExpectRefusal(Run({"bench", "train", "--model", "resnet"}), 64, {"resnet", "vgg"});
  ExpectRefusal(Run({"bench", "train", "--colour"}), 64, {"--colour"});
  ExpectRefusal(Run({"bench", "train", "--steps", "0"}), 64, {"steps", "0"});
  ExpectRefusal(Run({"bench", "train", "--threads", "99999"}), 64, {"threads", "1024"});
  ExpectRefusal(Run({"bench", "train", "--json", "--profile"}), 64, {"--json", "--profile"});
  ExpectRefusal(Run({"bench", "train", "--lanes", "4", "--profile"}), 64, {"--lanes", "--profile"});
}

class Help : public Workplace {};

TEST_F(Help, EveryVerbExplainsItself) {
  EXPECT_THAT(RunWell({"--help"}).out, AllOf(HasSubstr("train "), HasSubstr("predict "),
                                             HasSubstr("inspect "), HasSubstr("bench ")));
  EXPECT_THAT(
      RunWell({"train", "--help"}).out,
      AllOf(HasSubstr("--epochs"), HasSubstr("--optimizer"), HasSubstr("SM_CHANNEL_TRAIN")));
  EXPECT_THAT(RunWell({"predict", "--help"}).out, HasSubstr("--contact-sheet"));
  EXPECT_THAT(RunWell({"inspect", "--help"}).out, HasSubstr("--plan"));
  EXPECT_THAT(RunWell({"bench", "train", "--help"}).out, HasSubstr("--steps"));
  EXPECT_THAT(RunWell({"bench", "--help"}).out, HasSubstr("train"));
  EXPECT_THAT(RunWell({"--version"}).out, StartsWith("lockstep "));
}

}  // namespace
}  // namespace lockstep::tools
