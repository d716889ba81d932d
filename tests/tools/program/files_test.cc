// What a training job prints and leaves.
#include <gmock/gmock.h>
#include <signal.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <regex>

#include "data/epoch_order.h"
#include "data/npy.h"
#include "data/npz.h"
#include "models/model_card.h"
#include "tests/tools/program/workplace.h"
#include "tests/tools/terminal.h"
#include "tools/log_report.h"
#include "tools/plot.h"

namespace lockstep::tools {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class TrainFiles : public Workplace {};

TEST_F(TrainFiles, ModelLogPlotsAndGraphAreThere) {
  RunWell(Train());
  EXPECT_THAT(ReadFile(Dir("out/accuracy.png")), StartsWith("\x89PNG"));
  EXPECT_THAT(ReadFile(Dir("out/loss.png")), StartsWith("\x89PNG"));
  EXPECT_THAT(ReadFile(Dir("out/cg.dot")), StartsWith("digraph"));
  EXPECT_TRUE(Exists("model/model.npz"));
  EXPECT_TRUE(Exists("model/model.json"));
  EXPECT_FALSE(Exists("home"));
}

TEST_F(TrainFiles, ATerminalShowsABarWithTheTimeLeftAndTheSpeed) {
  const Terminal terminal(120);
  ProgramSetting setting = Setting();
  setting.terminal = terminal.fd();
  // Longer than it takes to know a speed.
  const Arguments job = With(With(Train(), "--hidden", "512,512"), "--epochs", "50");
  Program program(With(job, "--train", Channel("long", Vectors(20'000))), setting);
  const std::regex bar(
      "\r\x1b\\[Jepoch +[0-9]+/50 \\[#*\\.*\\] +[0-9]+ %  [0-9]+:[0-9]{2}:[0-9]{2} left  "
      "[0-9.]*[1-9][0-9.]* (samples|images)/s  loss [0-9.]+");
  std::string screen;
  EXPECT_TRUE(program.WaitUntil([&] {
    screen += terminal.Read();
    return std::regex_search(screen, bar);
  })) << screen;
  program.Signal(SIGTERM);
  const Outcome outcome = program.Wait();
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(terminal.Read(), HasSubstr("stopped by SIGTERM"));
}

// The log of the job before would pass for this one's.
TEST_F(TrainFiles, AJobThatEndsInItsFirstEpochLeavesNoLogOfAnother) {
  RunWell(Train());
  RunWell(Train({"--iterations", "3"}));
  for (const char* file : {"out/log", "out/accuracy.png", "out/loss.png"}) {
    EXPECT_FALSE(Exists(file)) << file;
  }
}

TEST_F(TrainFiles, ModelHasChainersKeys) {
  RunWell(Train());
  const NpzReader model(Dir("model/model.npz"));
  EXPECT_THAT(model.names(), ElementsAre("predictor/l1/W", "predictor/l1/b", "predictor/l2/W",
                                         "predictor/l2/b", "predictor/l3/W", "predictor/l3/b"));
  EXPECT_EQ(model.Read("predictor/l1/W").shape(), Shape({9, 20}));
  EXPECT_EQ(model.Read("predictor/l3/b").shape(), Shape({10}));
}

TEST_F(TrainFiles, ModelCardHoldsTheHashThatWasPrinted) {
  const Outcome outcome = RunWell(Train({"--seed", "5"}));
  const ModelCard card = ParseModelCard(ReadFile(Dir("model/model.json")), "model.json");
  EXPECT_EQ(card.weights_sha256, outcome.WeightsHash());
  EXPECT_EQ(card.seed, 5U);
  EXPECT_EQ(card.iterations, 10);
  EXPECT_EQ(card.spec.hidden, (std::vector<int64_t>{9, 8}));
}

TEST_F(TrainFiles, LogHasOneEntryAnEpochWithChainersKeys) {
  RunWell(Train());
  const std::vector<LogEntry> log = ParseLog(ReadFile(Dir("out/log")), "log");
  ASSERT_EQ(log.size(), 2U);
  std::vector<std::string> keys;
  for (const auto& [key, value] : log[1].values) keys.push_back(key);
  EXPECT_THAT(keys,
              ElementsAre("main/loss", "main/accuracy", "validation/main/loss",
                          "validation/main/accuracy", "lr", "epoch", "iteration", "elapsed_time"));
  EXPECT_EQ(AsDouble(*log[1].Find("epoch")), 2.0);
  EXPECT_EQ(AsDouble(*log[1].Find("iteration")), 10.0);
}

TEST_F(TrainFiles, TableIsOneThatTunersRead) {
  const Outcome outcome = RunWell(Train());
  EXPECT_THAT(outcome.out,
              HasSubstr("\nepoch       main/loss   validation/main/loss  main/accuracy  "
                        "validation/main/accuracy  elapsed_time\n\x1b[J1 "));
  // The pattern of the tuning notebook: epoch, four numbers, the time.
  const std::regex row(
      "\\[J([12])\\s+\\d+\\.?\\d*\\s+\\d+\\.?\\d*\\s+(\\d\\.?\\d*)\\s+(\\d\\.?\\d*)"
      "\\s+\\d+\\.?\\d*(e-\\d+)?\\s*\n");
  const std::sregex_iterator first(outcome.out.begin(), outcome.out.end(), row), none;
  EXPECT_EQ(std::distance(first, none), 2) << outcome.out;
}

TEST_F(TrainFiles, HeadSaysBatchSizeEpochsAndRate) {
  const Outcome outcome = RunWell(Train({"--learning-rate", "0.02"}));
  EXPECT_THAT(outcome.out,
              HasSubstr("# model: mlp, 359 parameters\n"));  // 9 * 21 + 8 * 10 + 10 * 9
  EXPECT_THAT(outcome.out, HasSubstr("# Minibatch-size: 16\n"));
  EXPECT_THAT(outcome.out, HasSubstr("# epoch: 2\n"));
  EXPECT_THAT(outcome.out, HasSubstr("# learning rate: 0.02"));
  EXPECT_THAT(outcome.out, HasSubstr("# data: 70 training samples, 33 for validation\n"));
  EXPECT_THAT(outcome.out, HasSubstr("# samples: (20,) float32\n"));
  EXPECT_THAT(outcome.out, HasSubstr("# files: data.npz; for validation data.npz\n"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("channels last")));
  EXPECT_THAT(outcome.out, Not(HasSubstr("nothing to train")));
}

TEST_F(TrainFiles, SnapshotsThatCannotBeWrittenAreRefusedBeforeTheFirstStep) {
  scratch_.MakeDirectory("out/snapshot_iter_10");
  const Outcome outcome = Run(Train({"--snapshot-every", "1"}));
  ExpectRefusal(outcome, 73, {"out/snapshot_iter_10", "directory"});
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(Run(Train()).code, 0);
}

TEST_F(TrainFiles, HeadSaysSeedAndWeightDecay) {
  EXPECT_THAT(RunWell(Train({"--seed", "11"})).out,
              AllOf(HasSubstr("# seed: 11\n"), HasSubstr("# weight decay: 0.0005\n")));
  EXPECT_THAT(RunWell(Train({"--weight-decay", "0"})).out,
              AllOf(HasSubstr("# seed: 0\n"), Not(HasSubstr("weight decay"))));
}

TEST_F(TrainFiles, HeadWarnsOfNumbersThatWereNotScaled) {
  Arrays arrays = Vectors(70);
  for (float& value : arrays["data"].values<float>()) value = std::round(value * 80.0F);
  const std::string large = Channel("large", arrays);
  const auto warns = HasSubstr("# warning: samples hold numbers from -80 to 237 and are fed as");
  EXPECT_THAT(RunWell(Train({"--train", large, "--lr", "1e-6"})).out, warns);
  EXPECT_THAT(RunWell(Train({"--train", large, "--stddev", "80"})).out, Not(warns));
  EXPECT_THAT(RunWell(Train()).out, Not(HasSubstr("warning")));
}

TEST_F(TrainFiles, HeadWarnsOfChannelsLast) {
  const Tensor data(DType::kUint8, Shape({20, 9, 8, 3}));
  const Tensor labels(DType::kInt32, Shape({20}));
  const std::string channel = Channel("last", {{"data", data}, {"labels", labels}});
  EXPECT_THAT(RunWell({"train", "--model", "mlp", "--hidden", "5", "--train", channel, "--epoch",
                       "1", "--batchsize", "7", "--threads", "1", "--model-dir", Dir("model")})
                  .out,
              AllOf(HasSubstr("samples of (9, 8, 3) look like pictures with channels last"),
                    HasSubstr("# epoch: 1\n"), HasSubstr("# Minibatch-size: 7\n")));
}

TEST_F(TrainFiles, HeadSaysWhenNothingIsLeftToTrain) {
  RunWell(Train({}, "job"));
  EXPECT_THAT(RunWell(Train({}, "job")).out,
              HasSubstr("# nothing to train: the checkpoint is at epoch 2"));
}

TEST_F(TrainFiles, HeadNamesTheFilesThatWereRead) {
  for (const char* name : {"a", "b", "c", "d", "e"}) {
    std::filesystem::copy(Dir("train/data.npz"), Dir(std::string("train/") + name + ".npz"));
  }
  std::filesystem::copy(Dir("test/data.npz"), Dir("test/latest.npz"));
  EXPECT_THAT(RunWell(Train({"--epochs", "1"})).out,
              HasSubstr("# files: a.npz, b.npz, c.npz, d.npz, data.npz and 1 more; for "
                        "validation data.npz, latest.npz\n"));
}

TEST_F(TrainFiles, DefaultsAreThoseOfTheExamples) {
  const Outcome outcome = RunWell({"train", "--train", Dir("train"), "--model-dir", Dir("model"),
                                   "--iterations", "1", "--threads", "1"});
  EXPECT_THAT(outcome.out, HasSubstr("# model: mlp"));
  EXPECT_THAT(outcome.out, HasSubstr("# Minibatch-size: 64\n# epoch: 50\n# learning rate: 0.05"));
  EXPECT_THAT(outcome.out, HasSubstr("# optimizer: momentum"));
  EXPECT_EQ(NpzReader(Dir("model/model.npz")).Read("predictor/l2/W").shape(), Shape({1000, 1000}));
}

TEST_F(TrainFiles, LearningRateHalvesAsScheduled) {
  RunWell(Train({"--epochs", "3", "--schedule-epochs", "1", "--lr", "0.08"}));
  const std::vector<LogEntry> log = ParseLog(ReadFile(Dir("out/log")), "log");
  ASSERT_EQ(log.size(), 3U);
  // The rate of the step that follows the row.
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_DOUBLE_EQ(AsDouble(*log[i].Find("lr")),
                     0.08 * std::pow(0.5, static_cast<double>(i + 1)));
  }
}

TEST_F(TrainFiles, TrainingWithoutValidationAndOutputWritesTheModelOnly) {
  const Outcome outcome =
      RunWell(TrainWithoutChannels({"--train", Dir("train"), "--model-dir", Dir("model")}));
  EXPECT_TRUE(Exists("model/model.npz"));
  EXPECT_FALSE(Exists("out"));
  EXPECT_THAT(outcome.out, HasSubstr("\x1b[J2 "));
}

TEST_F(TrainFiles, SameSeedGivesTheSameBits) {
  const std::string hash = RunWell(Train({"--seed", "3"})).WeightsHash();
  EXPECT_EQ(RunWell(Train({"--seed", "3"})).WeightsHash(), hash);
  EXPECT_NE(RunWell(Train({"--seed", "4"})).WeightsHash(), hash);
}

TEST_F(TrainFiles, SnapshotsHoldTheOrderThatIsTrainedIn) {
  RunWell(Train({"--epochs", "1", "--snapshot-every", "1", "--shuffle", "False"}, "plain"));
  RunWell(Train({"--epochs", "1", "--snapshot-every", "1", "--seed", "6"}, "shuffled"));
  const auto order = [&](const std::string& job) {
    const NpzReader snapshot(Dir(job + "out/snapshot_iter_5"));
    const Tensor order = snapshot.Read("updater/iterator:main/order");
    const auto values = order.values<int64_t>();
    return std::vector<int64_t>(values.begin(), values.end());
  };
  std::vector<int64_t> rows(70);
  std::iota(rows.begin(), rows.end(), 0);
  EXPECT_EQ(order("plain"), rows);
  EXPECT_EQ(order("shuffled"), EpochOrder(6, 1, 70));
}

TEST_F(TrainFiles, SnapshotsComeAsOftenAsAsked) {
  const auto made = [&](const std::string& job, const Arguments& more) {
    RunWell(Train(Arguments{"--epochs", "3"} + more, job));
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(Dir(job + "out"))) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with("snapshot_iter_")) names.push_back(name.substr(14));
    }
    std::sort(names.begin(), names.end());
    return names;
  };
  using testing::ElementsAre;
  EXPECT_THAT(made("none", {}), ElementsAre());
  EXPECT_THAT(made("each", {"--snapshot-every", "1"}), ElementsAre("10", "15", "5"));
  EXPECT_THAT(made("second", {"--frequency", "2"}), ElementsAre("10"));
  EXPECT_THAT(made("last", {"--frequency", "-1"}), ElementsAre("15"));
  ExpectRefusal(Run(Train({"--frequency", "-2"})), 64, {"snapshot-every", "-2"});
}

TEST_F(TrainFiles, AnEpochThatDidNotEndHasALineAndNoEntry) {
  const auto says = [&](const char* iterations) {
    return RunWell(Train({"--iterations", iterations})).out;
  };
  EXPECT_TRUE(std::regex_search(
      says("3"), std::regex("epoch 1 is not complete at iteration 3: main/loss [1-9]\\.[0-9]+, "
                            "main/accuracy 0\\.?[0-9]* so far\n")));
  EXPECT_FALSE(Exists("out/log"));
  EXPECT_THAT(says("5"), Not(HasSubstr("not complete")));
  EXPECT_THAT(says("7"), HasSubstr("\nepoch 2 is not complete at iteration 7: "));
}

// Four steps of so low a rate that they change nothing: whatever one of them leaves out is missed.
TEST_F(TrainFiles, LossAndAccuracyAreReportedOfEveryIteration) {
  RunWell(Train());
  const Arrays rows = Vectors(64, 3);
  const std::string channel = Channel("rows", rows);
  RunWell({"predict", "--model-dir", Dir("model"), "--channel", channel, "--output", Dir("y.npy")});
  const Tensor y = ParseNpy(InputFile::Open(Dir("y.npy")).ReadAll(), "y.npy");
  const Arguments still =
      With(Train({"--init-from", Dir("model/model.npz"), "--model-dir", Dir("same"), "--lr",
                  "1e-30", "--shuffle", "False", "--epochs", "1"}),
           "--train", channel);
  double loss = 0.0, accuracy = 0.0;
  for (size_t step = 1; step <= 4; ++step) {
    for (size_t row = 16 * (step - 1); row < 16 * step; ++row) {
      const auto scores = y.values<float>().subspan(row * 10, 10);
      const auto label = static_cast<size_t>(rows.at("labels").values<int32_t>()[row]);
      double sum = 0.0;
      for (const float score : scores) sum += std::exp(double{score});
      loss += std::log(sum) - scores[label];
      accuracy += scores[label] == *std::max_element(scores.begin(), scores.end()) ? 1.0 : 0.0;
    }
    const std::string out = RunWell(still + Arguments{"--iterations", std::to_string(step)}).out;
    double found[2];
    if (step < 4) {
      std::smatch line;
      ASSERT_TRUE(std::regex_search(
          out, line, std::regex(": main/loss ([0-9.]+), main/accuracy ([0-9.]+) so far\n")));
      for (size_t i = 0; i < 2; ++i) found[i] = std::stod(line[i + 1]);
    } else {
      const LogEntry entry = ParseLog(ReadFile(Dir("out/log")), "log").front();
      found[0] = AsDouble(*entry.Find("main/loss"));
      found[1] = AsDouble(*entry.Find("main/accuracy"));
    }
    const auto seen = static_cast<double>(16 * step);
    EXPECT_NEAR(found[0], loss / seen, 1e-5 * loss / seen) << step;
    EXPECT_NEAR(found[1], accuracy / seen, 1e-5) << step;
  }
}

TEST_F(TrainFiles, RegressionReportsItsError) {
  const Arrays vectors = Vectors(40);
  const Tensor targets = vectors.at("labels").Cast(DType::kFloat32);
  const std::string channel =
      Channel("targets", {{"data", vectors.at("data")}, {"labels", targets}});
  const Outcome outcome =
      RunWell({"train",    "--model",  "dnn",   "--classes",    "1",          "--train",
               channel,    "--test",   channel, "--model-dir",  Dir("model"), "--output-data-dir",
               Dir("out"), "--epochs", "2",     "--batch-size", "16",         "--threads",
               "1",        "--lr",     "0.001"});
  EXPECT_THAT(outcome.out, HasSubstr("validation/main/rmse"));
  const LinePlot curves = RmsePlot(ParseLog(ReadFile(Dir("out/log")), "log"), "dnn");
  EXPECT_EQ(curves.series.size(), 2U);
  const std::vector<std::byte> png = RenderLinePlot(curves);
  EXPECT_EQ(ReadFile(Dir("out/rmse.png")),
            std::string(reinterpret_cast<const char*>(png.data()), png.size()));
  EXPECT_TRUE(Exists("out/loss.png"));
  const Arguments predict{"predict", "--model-dir", Dir("model"), "--channel", channel};
  RunWell(predict + Arguments{"--output", Dir("y.npy")});
  const Tensor y = ParseNpy(InputFile::Open(Dir("y.npy")).ReadAll(), "y.npy");
  double squares = 0.0;
  for (size_t row = 0; row < 40; ++row) {
    squares += std::pow(double{y.values<float>()[row]} - targets.values<float>()[row], 2);
  }
  const LogEntry last = ParseLog(ReadFile(Dir("out/log")), "log").back();
  const double mean = squares / 40, rmse = std::sqrt(mean);
  ASSERT_GT(std::abs(mean - rmse), 0.1);
  EXPECT_NEAR(AsDouble(*last.Find("validation/main/rmse")), rmse, 1e-5 * rmse);
  EXPECT_NEAR(AsDouble(*last.Find("validation/main/loss")), mean, 1e-5 * mean);
  for (const Arguments& of_classes : {Arguments{"--softmax"}, {"--classes", Dir("c.csv")}}) {
    ExpectRefusal(Run(predict + of_classes), 64, {of_classes[0], "a model that tells classes"});
  }
}

}  // namespace
}  // namespace lockstep::tools
