// Jobs that go on where another one ended.
#include <gmock/gmock.h>

#include <filesystem>

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
    std::string bytes = ReadFile(Dir(name));
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
  EXPECT_EQ(ParseLog(ReadFile(Dir("jobout/log")), "log").size(), 3U);
}

TEST_F(Checkpoints, ResumedLogEqualsTheUnbrokenOne) {
  RunWell(Train({"--epochs", "3"}));
  RunSevenSteps();
  RunWell(Train({"--epochs", "3"}, "job"));
  const auto whole = ParseLog(ReadFile(Dir("out/log")), "log");
  const auto resumed = ParseLog(ReadFile(Dir("jobout/log")), "log");
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
  ExpectRefusal(
      Run(Train({"--resume"}, "job")), 66,
      {"job", "no checkpoint", "; leave --resume out or choose another --checkpoint-dir"});
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
  EXPECT_THAT(outcome.out, HasSubstr("/checkpoint_7.lsc: "));
  EXPECT_THAT(outcome.out, HasSubstr("; falling back to " + Dir("job/checkpoint_6.lsc")));
  EXPECT_THAT(outcome.out, HasSubstr("/checkpoint_6.lsc at iteration 6\n"));
  EXPECT_EQ(outcome.WeightsHash(), hash);
}

TEST_F(Checkpoints, AllDamagedIsAnErrorAndNotAFreshStart) {
  RunSevenSteps();
  Damage("job/checkpoint_7.lsc");
  Damage("job/checkpoint_6.lsc");
  ExpectRefusal(Run(Train({}, "job")), 65,
                {"job", "; restore a copy, or empty the directory to start from nothing"});
}

TEST_F(Checkpoints, SecondJobOnTheDirectoryIsRefused) {
  scratch_.MakeDirectory("job");
  const DirectoryLock lock(Dir("job"), [](const std::string&) {});
  const Outcome outcome = Run(Train({}, "job"));
  ExpectRefusal(outcome, 73,
                {Dir("job"), std::to_string(::getpid()),
                 "; wait until that job ends or choose another directory"});
  EXPECT_EQ(outcome.out, "");
}

TEST_F(Checkpoints, ChangedJobsNameWhatDiffers) {
  RunSevenSteps();
  ExpectRefusal(Run(With(Train({}, "job"), "--hidden", "9,6")), 76,
                {"was written with --hidden 9,8 (this job: 9,6); give what it was written with, "
                 "or start anew with --resume False"});
  ExpectRefusal(Run(With(Train({"--classes", "1"}, "job"), "--model", "dnn")), 76,
                {"was written with --model mlp (this job: dnn), --classes 10 (this job: 1);"});
  ExpectRefusal(Run(Train({"--classes", "7"}, "job")), 76,
                {"was written with --classes 10 (this job: 7);"});
  ExpectRefusal(Run(Train({"--train", Dir("test")}, "job")), 76, {"70", "33"});
  EXPECT_EQ(Run(Train({}, "job")).code, 0);
}

TEST_F(Checkpoints, DataMayBeRenamedButNotExchanged) {
  RunSevenSteps();
  Channel("renamed", Vectors(70));
  std::filesystem::rename(Dir("renamed/data.npz"), Dir("renamed/other.npz"));
  EXPECT_THAT(RunWell(Train({"--train", Dir("renamed"), "--iterations", "8"}, "job")).out,
              HasSubstr("# resumed from"));
  const std::string other = Channel("other", Vectors(70, 9));
  ExpectRefusal(Run(Train({"--train", other}, "job")), 76,
                {"the training data is not that of the checkpoint", "--resume False"});
  EXPECT_EQ(Run(Train({"--test", Channel("more", Vectors(50, 8))}, "job")).code, 0);
}

TEST_F(Checkpoints, ChangedOptionsAreNamedWithBothValues) {
  RunSevenSteps();
  const auto expect = [&](const Arguments& changed, const std::vector<std::string>& parts) {
    const Outcome outcome = Run(Train(changed, "job"));
    ExpectRefusal(outcome, 76, parts);
    ExpectRefusal(outcome, 76, {"/checkpoint_7.lsc was written with --", "--resume False"});
    EXPECT_THAT(outcome.out, Not(HasSubstr("# resumed")));
  };
  expect({"--lr", "0.1"}, {"with --learning-rate 0.05 (this job: 0.1);"});
  expect({"--optimizer", "adam"}, {"--optimizer momentum (this job: adam)"});
  expect({"--momentum", "0.8"}, {"--momentum 0.9 (this job: 0.8)"});
  expect({"--weight-decay", "0.1"}, {"--weight-decay 0.0005 (this job: 0.1)"});
  expect({"--gradient-clipping", "2"}, {"--gradient-clipping 0.0 (this job: 2.0)"});
  expect({"--freeze", "predictor/l1/W"}, {"--freeze '' (this job: predictor/l1/W)"});
  expect({"--schedule", "cosine"}, {"--schedule exponential-shift (this job: cosine)"});
  expect({"--schedule-epochs", "9"}, {"--schedule-epochs 25 (this job: 9)"});
  expect({"--schedule-factor", "0.1"}, {"--schedule-factor 0.5 (this job: 0.1)"});
  expect({"--warm-up", "3"}, {"--warm-up 0 (this job: 3)"});
  expect({"--batch-size", "14"}, {"--batch-size 16 (this job: 14)"});
  expect({"--shuffle", "False"}, {"--shuffle True (this job: False)"});
  expect({"--seed", "8"}, {"--seed 0 (this job: 8)"});
  expect({"--dtype", "float64"}, {"--dtype float32 (this job: float64)"});
  expect({"--reproducible"}, {"--reproducible False (this job: True)"});
  expect({"--lr", "0.1", "--seed", "8"}, {"--learning-rate 0.05 (this job: 0.1), --seed 0 (this"});
  // Numbers of a rule that is not used have no effect.
  EXPECT_EQ(Run(Train({"--beta1", "0.5", "--schedule-steps", "3,4"}, "job")).code, 0);
}

TEST_F(Checkpoints, NumbersOfTheOptimizerAndScheduleInUseAreCompared) {
  const Arguments job{"--optimizer", "adadelta", "--schedule", "steps", "--schedule-steps", "1,2"};
  RunSevenSteps(job);
  ExpectRefusal(Run(Train(job + Arguments{"--rho", "0.9", "--eps", "1e-7"}, "job")), 76,
                {"--rho 0.95 (this job: 0.9), --eps 1e-06 (this job: 1e-07)"});
  ExpectRefusal(Run(With(Train(job, "job"), "--schedule-steps", "1,3")), 76,
                {"--schedule-steps 1,2 (this job: 1,3)"});
  EXPECT_EQ(Run(Train(job + Arguments{"--rho", "0.95"}, "job")).code, 0);
}

TEST_F(Checkpoints, AccumulationLeavesNoTraceInReproducibleBits) {
  const Arguments job{"--reproducible", "True", "--epochs", "3"};
  const std::string hash = RunWell(Train(job)).WeightsHash();
  RunSevenSteps(job + Arguments{"--accumulate", "4"});
  const Outcome outcome = RunWell(Train(job + Arguments{"--accumulate", "3"}, "job"));
  EXPECT_THAT(outcome.out, HasSubstr("runs its samples of a step in 3 parts"));
  EXPECT_EQ(outcome.WeightsHash(), hash);
}

TEST_F(Checkpoints, JobsInPartsGoOnInOthers) {
  RunSevenSteps({"--accumulate", "4"});
  EXPECT_THAT(RunWell(Train({"--accumulate", "16"}, "job")).out, HasSubstr("at iteration 7\n"));
  ExpectRefusal(Run(Train({"--accumulate", "17"})), 64,
                {"--accumulate 17 parts of --batch-size 16"});
}

TEST_F(Checkpoints, MoreEpochsGoOnAsIfTheyHadBeenAskedForAtFirst) {
  const std::string hash = RunWell(Train({"--epochs", "4"})).WeightsHash();
  RunWell(Train({"--epochs", "2"}, "job"));
  const Outcome outcome = RunWell(Train({"--epochs", "4"}, "job"));
  EXPECT_EQ(outcome.WeightsHash(), hash);
  EXPECT_THAT(outcome.out, Not(HasSubstr("warning")));
}

TEST_F(Checkpoints, MoreEpochsOfACosineAreWarnedOf) {
  RunWell(Train({"--schedule", "cosine"}, "job"));
  EXPECT_THAT(RunWell(Train({"--schedule", "cosine", "--epochs", "3"}, "job")).out,
              HasSubstr("warning: --schedule cosine falls over 3 epochs from here, over 2 before"));
}

TEST_F(Checkpoints, TimesBetweenThemAreAccepted) {
  RunWell(Train({"--checkpoint-every", "0.000001s"}, "job"));
  EXPECT_TRUE(Exists("job/checkpoint_10.lsc"));
  EXPECT_TRUE(Exists("job/checkpoint_9.lsc"));
}

TEST_F(Checkpoints, OfATimeThatDoesNotPassAreOnlyTheLast) {
  RunWell(Train({"--checkpoint-every", "1h"}, "job"));
  EXPECT_TRUE(Exists("job/checkpoint_10.lsc"));
  for (int iteration = 0; iteration < 10; ++iteration) {
    EXPECT_FALSE(Exists("job/checkpoint_" + std::to_string(iteration) + ".lsc")) << iteration;
  }
}

}  // namespace
}  // namespace lockstep::tools
