// Jobs that go on where another one ended.
#include <gmock/gmock.h>

#include "engine/train/directory_lock.h"
#include "tests/tools/program/workplace.h"
#include "tools/log_report.h"

namespace lockstep::tools {
namespace {

using testing::HasSubstr;
using testing::Not;

class Checkpoints : public Workplace {
 protected:
  void Damage(const std::string& name) const {
    std::string bytes = ReadWhole(Dir(name));
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
    scratch_.Write(name, bytes);
  }
  // Five steps an epoch, of which seven are done.
  void RunSevenSteps(const Arguments& more = {}) const {
    RunWell(Train(Arguments{"--iterations", "7", "--checkpoint-every", "1"} + more, "job"));
  }
};

TEST_F(Checkpoints, ResumeInTheMiddleOfAnEpochGivesTheSameBits) {
  const std::string hash = RunWell(Train({"--epochs", "3"})).WeightsHash();
  RunSevenSteps();
  const Outcome outcome = RunWell(Train({"--epochs", "3"}, "job"));
  EXPECT_THAT(outcome.out, HasSubstr("/checkpoint_7.lsc at iteration 7\n"));
  EXPECT_EQ(outcome.WeightsHash(), hash);
  EXPECT_EQ(ParseLog(ReadWhole(Dir("jobout/log")), "log").size(), 3U);
}

TEST_F(Checkpoints, ResumedLogEqualsTheUnbrokenOne) {
  RunWell(Train({"--epochs", "3"}));
  RunSevenSteps();
  RunWell(Train({"--epochs", "3"}, "job"));
  const auto whole = ParseLog(ReadWhole(Dir("out/log")), "log");
  const auto resumed = ParseLog(ReadWhole(Dir("jobout/log")), "log");
  ASSERT_EQ(whole.size(), resumed.size());
  for (size_t i = 0; i < whole.size(); ++i) {
    for (const char* key : {"main/loss", "main/accuracy", "validation/main/loss",
                            "validation/main/accuracy", "lr", "epoch", "iteration"}) {
      EXPECT_EQ(AsDouble(*whole[i].Find(key)), AsDouble(*resumed[i].Find(key))) << key;
    }
  }
}

TEST_F(Checkpoints, SettingsAreThoseOfTheRecipeUnlessToldOtherwise) {
  RunSevenSteps();
  const std::string text = RunWell({"inspect", Dir("job")}).out;
  for (const char* part : {"momentum", "0.9", "weight_decay=5e-04", "gradient_clipping=0"}) {
    EXPECT_THAT(text.substr(text.find("optimizer/settings")), HasSubstr(part));
  }
}

TEST_F(Checkpoints, TwoAreKeptUnlessToldOtherwise) {
  RunSevenSteps();
  EXPECT_TRUE(Exists("job/checkpoint_7.lsc"));
  EXPECT_TRUE(Exists("job/checkpoint_6.lsc"));
  EXPECT_FALSE(Exists("job/checkpoint_5.lsc"));
  RunWell(Train({"--keep-checkpoints", "3", "--checkpoint-every", "1"}, "job"));
  EXPECT_TRUE(Exists("job/checkpoint_8.lsc"));
  EXPECT_FALSE(Exists("job/checkpoint_7.lsc"));
}

TEST_F(Checkpoints, ResumeFalseStartsOver) {
  const std::string hash = RunWell(Train()).WeightsHash();
  RunSevenSteps();
  const Outcome outcome = RunWell(Train({"--resume", "False"}, "job"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("# resumed")));
  EXPECT_EQ(outcome.WeightsHash(), hash);
}

TEST_F(Checkpoints, ResumeThatWasAskedForNeedsACheckpoint) {
  ExpectRefusal(Run(Train({"--resume"}, "job")), 66, {"job", "no checkpoint"});
  ExpectRefusal(Run(Train({"--resume"})), 64, {"--checkpoint-dir"});
}

TEST_F(Checkpoints, FinishedJobsDoNotTrainAgain) {
  const std::string hash = RunWell(Train({}, "job")).WeightsHash();
  EXPECT_EQ(RunWell(Train({}, "job")).WeightsHash(), hash);
}

TEST_F(Checkpoints, DamagedNewestGivesWayToItsPredecessor) {
  const std::string hash = RunWell(Train()).WeightsHash();
  RunSevenSteps();
  Damage("job/checkpoint_7.lsc");
  const Outcome outcome = RunWell(Train({}, "job"));
  EXPECT_THAT(outcome.out, HasSubstr("warning: "));
  EXPECT_THAT(outcome.out, HasSubstr("checkpoint_7.lsc"));
  EXPECT_THAT(outcome.out, HasSubstr("/checkpoint_6.lsc at iteration 6\n"));
  EXPECT_EQ(outcome.WeightsHash(), hash);
}

TEST_F(Checkpoints, AllDamagedIsAnErrorAndNotAFreshStart) {
  RunSevenSteps();
  Damage("job/checkpoint_7.lsc");
  Damage("job/checkpoint_6.lsc");
  ExpectRefusal(Run(Train({}, "job")), 65, {"job"});
}

TEST_F(Checkpoints, SecondJobOnTheDirectoryIsRefused) {
  scratch_.MakeDirectory("job");
  const DirectoryLock lock(Dir("job"), [](const std::string&) {});
  const Outcome outcome = Run(Train({}, "job"));
  ExpectRefusal(outcome, 73, {Dir("job"), std::to_string(::getpid())});
  EXPECT_EQ(outcome.out, "");
}

TEST_F(Checkpoints, ChangedJobsNameWhatDiffers) {
  RunSevenSteps();
  ExpectRefusal(Run(With(Train({}, "job"), "--hidden", "9,6")), 76,
                {"predictor/l", "(10, 8)", "(10, 6)"});
  ExpectRefusal(Run(With(Train({}, "job"), "--hidden", "9,8,7")), 76, {"predictor/l"});
  ExpectRefusal(Run(Train({"--optimizer", "adam"}, "job")), 76, {"optimizer", "momentum", "adam"});
  ExpectRefusal(Run(Train({"--weight-decay", "0.1"}, "job")), 76, {"weight_decay", "0.1"});
  ExpectRefusal(Run(Train({"--batch-size", "14"}, "job")), 76, {"batch", "16", "14"});
  ExpectRefusal(Run(Train({"--seed", "8"}, "job")), 76, {"--seed", "0", "8"});
  ExpectRefusal(Run(Train({"--train", Dir("test")}, "job")), 76, {"70", "33"});
  ExpectRefusal(Run(Train({"--dtype", "float64"}, "job")), 76, {"float32", "float64"});
  EXPECT_EQ(Run(Train({}, "job")).code, 0);
}

TEST_F(Checkpoints, TimesBetweenThemAreAccepted) {
  RunWell(Train({"--checkpoint-every", "0.000001s"}, "job"));
  EXPECT_TRUE(Exists("job/checkpoint_10.lsc"));
  EXPECT_TRUE(Exists("job/checkpoint_9.lsc"));
}

}  // namespace
}  // namespace lockstep::tools
