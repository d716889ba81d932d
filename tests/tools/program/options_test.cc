// What training can be told, and that it does it.
#include <gmock/gmock.h>

#include <array>
#include <map>
#include <regex>
#include <set>

#include "data/npz.h"
#include "models/model_card.h"
#include "tests/tools/program/workplace.h"
#include "tools/log_report.h"

namespace lockstep::tools {
namespace {

using testing::HasSubstr;

bool SameBits(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::equal(static_cast<const char*>(a.data()),
                    static_cast<const char*>(a.data()) + a.bytes(),
                    static_cast<const char*>(b.data()));
}

class TrainOptionsTest : public Workplace {
 protected:
  Tensor Array(const std::string& dir, const std::string& key) const {
    return NpzReader(Dir(dir + "/model.npz")).Read(key);
  }
  double LastLoss() const {
    return AsDouble(*ParseLog(ReadFile(Dir("out/log")), "log").back().Find("main/loss"));
  }
};

class Optimizers : public TrainOptionsTest, public testing::WithParamInterface<const char*> {};

TEST_P(Optimizers, LearnAndResumeBitIdentically) {
  const Arguments optimizer{"--optimizer", GetParam(), "--gradient-clipping", "5"};
  const std::string hash = RunWell(Train(optimizer + Arguments{"--epochs", "3"})).WeightsHash();
  EXPECT_LT(LastLoss(), 2.4);  // ln 10 is 2.3
  RunWell(Train(optimizer + Arguments{"--epochs", "3", "--iterations", "7"}, "job"));
  EXPECT_EQ(RunWell(Train(optimizer + Arguments{"--epochs", "3"}, "job")).WeightsHash(), hash);
}

INSTANTIATE_TEST_SUITE_P(All, Optimizers,
                         testing::Values("sgd", "momentum", "nag", "nesterov", "adam", "adamw",
                                         "rmsprop", "adagrad", "adadelta"),
                         [](const auto& name) { return std::string(name.param); });

// An epoch is five steps; its entry has the rate of the step behind it.
TEST_F(TrainOptionsTest, EverySchedulesRatesAreThoseOfTheLog) {
  using Rates = std::vector<double>;
  const Rates cosine{0.75, 0.25, 0.0};  // (1 + cos(epoch * pi / 3)) / 2
  const auto decay = [](double d) {
    return Rates{1 / (1 + 5 * d), 1 / (1 + 10 * d), 1 / (1 + 15 * d)};
  };
  std::set<std::string> hashes;
  for (const auto& [schedule, rates] : std::map<Arguments, Rates>{
           {{"--schedule", "constant"}, {1.0, 1.0, 1.0}},
           {{"--schedule", "exponential-shift", "--schedule-epochs", "2"}, {1.0, 0.5, 0.5}},
           {{"--schedule", "steps", "--schedule-steps", "1,2", "--schedule-factor", "0.1"},
            {0.1, 0.01, 0.01}},
           {{"--schedule", "cosine"}, cosine},
           {{"--schedule", "decay", "--decay", "1e-3"}, decay(1e-3)},
           {{"--decay", "1e-6"}, decay(1e-6)},
           {{"--schedule", "cosine", "--warm-up", "8"}, {0.75 * 6 / 8, 0.25, 0.0}}}) {
    const Outcome outcome = RunWell(Train(schedule + Arguments{"--epochs", "3"}));
    EXPECT_THAT(outcome.out, HasSubstr("# learning rate: 0.05 ("));
    hashes.insert(outcome.WeightsHash());
    const std::vector<LogEntry> log = ParseLog(ReadFile(Dir("out/log")), "log");
    ASSERT_EQ(log.size(), 3U);
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_NEAR(AsDouble(*log[i].Find("lr")), 0.05 * rates[i], 1e-12) << schedule[1] << " " << i;
    }
  }
  EXPECT_EQ(hashes.size(), 7U);  // steps are made with them
}

TEST_F(TrainOptionsTest, StepsChangeTheRateAtTheirEpochs) {
  RunWell(Train({"--schedule", "steps", "--schedule-steps", "1,2", "--schedule-factor", "0.1",
                 "--epochs", "2", "--lr", "0.1"}));
  const std::vector<LogEntry> log = ParseLog(ReadFile(Dir("out/log")), "log");
  EXPECT_NEAR(AsDouble(*log[0].Find("lr")), 0.01, 1e-12);
  EXPECT_NEAR(AsDouble(*log[1].Find("lr")), 0.001, 1e-12);
}

TEST_F(TrainOptionsTest, DoublePrecisionWritesDoubles) {
  RunWell(Train({"--dtype", "float64"}));
  EXPECT_EQ(Array("model", "predictor/l1/W").dtype(), DType::kFloat64);
  EXPECT_EQ(ParseModelCard(ReadFile(Dir("model/model.json")), "card").dtype, "float64");
  const Outcome outcome =
      RunWell({"predict", "--model-dir", Dir("model"), "--channel", Dir("test"), "--threads", "1"});
  EXPECT_THAT(outcome.out, HasSubstr("accuracy "));
}

TEST_F(TrainOptionsTest, LabelsAllIgnoredChangeNothing) {
  const std::string start = RunWell(Train()).WeightsHash();
  Arrays arrays = Vectors(40);
  arrays["labels"] = Int32s(std::vector<int32_t>(40, -1));
  const Outcome outcome =
      RunWell(TrainWithoutChannels({"--train", Channel("ignored", arrays), "--model-dir",
                                    Dir("after"), "--init-from", Dir("model/model.npz")}));
  EXPECT_EQ(outcome.WeightsHash(), start);
}

class PictureOptions : public PictureWorkplace {};

TEST_F(PictureOptions, LabelsAllIgnoredChangeNoStatistics) {
  const std::string start = RunWell(Train({"--epochs", "1"})).WeightsHash();
  Arrays arrays = Pictures(32);
  arrays["labels"] = Int32s(std::vector<int32_t>(32, -1));
  const Outcome outcome = RunWell(
      TrainWithoutChannels({"--train", Channel("ignored", arrays), "--model-dir", Dir("after"),
                            "--init-from", Dir("model/model.npz"), "--epochs", "1"}));
  EXPECT_EQ(outcome.WeightsHash(), start);
}

TEST_F(PictureOptions, PicturesAreNormalisedByChannel) {
  const Arguments one{"--epochs", "1", "--mean", "0.3", "--stddev", "0.5"};
  const Arguments each{"--epochs", "1", "--mean", "0.3,0.3,0.3", "--stddev", "0.5,0.5,0.5"};
  const std::string hash = RunWell(Train(one)).WeightsHash();
  EXPECT_EQ(RunWell(Train(each)).WeightsHash(), hash);
  EXPECT_NE(RunWell(Train({"--epochs", "1"})).WeightsHash(), hash);
  ExpectRefusal(Run(Train({"--mean", "0.3,0.4"})), 64, {"2 values", "(3, 8, 8)"});
  ExpectRefusal(Run(Train({"--stddev", "0"})), 64, {"--stddev", "from 1e-37"});
}

// What is remembered is changed to what no timing would choose: who takes it has timed nothing.
TEST_F(PictureOptions, AlgorithmsAreTimedOnceAndRemembered) {
  for (const auto& [option, file] :
       std::map<std::string, std::string>{{"", "cache/algorithms"}, {"--algorithm-file", "own"}}) {
    const Arguments where = option.empty() ? Arguments{} : Arguments{option, Dir(file)};
    const std::string timed = RunWell(Train(where)).WeightsHash();
    RememberPlainLoops(file);
    const std::string remembered = ReadFile(Dir(file));
    EXPECT_NE(RunWell(Train(where)).WeightsHash(), timed) << file;
    EXPECT_EQ(ReadFile(Dir(file)), remembered);
  }
  const std::string remembered = ReadFile(Dir("cache/algorithms"));
  const std::string plan =
      RunWell({"inspect", Dir("model"), "--plan", "--batch-size", "16", "--threads", "1"}).out;
  const std::regex convolution(" conv (?:forward|backward data|backward weights) +(\\w+)");
  int convolutions = 0;
  for (std::sregex_iterator line(plan.begin(), plan.end(), convolution), end; line != end; ++line) {
    EXPECT_EQ((*line)[1], "reference") << line->str();
    ++convolutions;
  }
  EXPECT_EQ(convolutions, 3 * 13 - 1) << plan;  // the pictures have no gradient
  EXPECT_EQ(ReadFile(Dir("cache/algorithms")), remembered);
}

// Its help says what each optimizer has where nothing is given.
TEST_F(TrainOptionsTest, HelpKnowsEveryOptimizersNumbers) {
  std::string help = RunWell({"train", "--help"}).out;
  help = std::regex_replace(help, std::regex("\\s+"), " ");
  EXPECT_THAT(help, HasSubstr("of the first step (default 0.05; adam, adamw, adagrad 0.001; "
                              "rmsprop 0.01; adadelta 1)"));
  EXPECT_THAT(help, HasSubstr("(default rmsprop 0.99; adadelta 0.95)"));
  EXPECT_THAT(help, HasSubstr("(default adam, adamw, rmsprop, adagrad 1e-08; adadelta 1e-06)"));
  for (const auto& [name, rate, numbers] : std::vector<std::array<std::string, 3>>{
           {"sgd", "0.05", ""},
           {"nesterov", "0.05", " momentum=0.9"},
           {"adam", "0.001", " beta1=0.9 beta2=0.999 eps=1e-08 eta=1"},
           {"adamw", "0.001",
            " beta1=0.9 beta2=0.999 eps=1e-08 eta=1 decoupled_weight_decay=5e-04"},
           {"adagrad", "0.001", " eps=1e-08"},
           {"rmsprop", "0.01", " rho=0.99 eps=1e-08"},
           {"adadelta", "1", " rho=0.95 eps=1e-06"}}) {
    const std::string out = RunWell(Train({"--optimizer", name, "--iterations", "1"})).out;
    EXPECT_THAT(out, HasSubstr("# learning rate: " + rate + " ("));
    EXPECT_THAT(out, HasSubstr("# optimizer: " + name + numbers + "\n"));
  }
}

TEST_F(TrainOptionsTest, FineTuningStartsFromTheFileAndKeepsWhatIsFrozen) {
  RunWell(Train());
  const Arguments from{"--init-from", Dir("model/model.npz"), "--model-dir", Dir("tuned")};
  const Outcome outcome =
      RunWell(Train(from + Arguments{"--freeze", "predictor/l1/*,predictor/l2/W"}));
  EXPECT_THAT(outcome.out, HasSubstr("6 arrays loaded, 0 missing"));
  for (const char* key : {"predictor/l1/W", "predictor/l1/b", "predictor/l2/W"}) {
    EXPECT_TRUE(SameBits(Array("model", key), Array("tuned", key))) << key;
  }
  for (const char* key : {"predictor/l2/b", "predictor/l3/W", "predictor/l3/b"}) {
    EXPECT_FALSE(SameBits(Array("model", key), Array("tuned", key))) << key;
  }
}

TEST_F(TrainOptionsTest, StartingWeightsMustBeWholeUnlessToldOtherwise) {
  RunWell(Train());
  const NpzReader model(Dir("model/model.npz"));
  Arrays part;
  for (const std::string& name : model.names()) {
    if (name != "predictor/l3/b") part[name] = model.Read(name);
  }
  const Arguments from{"--init-from", Channel("part", part) + "/data.npz"};
  ExpectRefusal(Run(Train(from)), 65, {"predictor/l3/b"});
  EXPECT_THAT(RunWell(Train(from + Arguments{"--no-strict"})).out,
              HasSubstr("5 arrays loaded, 1 missing"));
  EXPECT_THAT(RunWell(Train(from + Arguments{"--init-strict", "False"})).out,
              HasSubstr("5 arrays loaded, 1 missing"));
  ExpectRefusal(Run(Train({"--init-from", Dir("absent.npz")})), 66, {"absent.npz"});
}

}  // namespace
}  // namespace lockstep::tools
