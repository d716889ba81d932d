// What jobs of several processes say about their time.
#include <gmock/gmock.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>
#include <utility>

#include "tests/engine/trace_check.h"
#include "tests/tools/program/workplace.h"

namespace lockstep::tools {
namespace {

using lockstep::testing::ReadTrace;
using lockstep::testing::SeenEvent;
using lockstep::testing::SeenTrace;
using ::testing::HasSubstr;
using ::testing::Not;

class RanksReport : public PictureWorkplace {
 protected:
  // Every rank writes its process id to pid.RANK first.
  ProgramSetting Under(int ranks) const {
    ProgramSetting setting = Setting();
    const std::string rank = "$OMPI_COMM_WORLD_RANK";
    const std::string script = "echo $$ > " + Dir("new." + rank) + " && mv " + Dir("new." + rank) +
                               " " + Dir("pid." + rank) + " && exec \"$@\"";
    setting.launcher = {LOCKSTEP_MPIRUN,
                        "--allow-run-as-root",
                        "--oversubscribe",
                        "--timeout",
                        "100",
                        "-np",
                        std::to_string(ranks),
                        "/bin/sh",
                        "-c",
                        script,
                        "sh"};
    return setting;
  }
  Outcome RunOn(int ranks, const Arguments& arguments) const {
    Outcome outcome = RunProgram(arguments, Under(ranks));
    EXPECT_EQ(outcome.code, 0) << outcome.out << outcome.err;
    return outcome;
  }
  pid_t PidOf(int rank) const {
    return static_cast<pid_t>(std::stol(ReadFile(Dir("pid." + std::to_string(rank)))));
  }
  nlohmann::json Log() const {
    std::ifstream file(Dir("out/log"));
    return nlohmann::json::parse(file);
  }
};

// A clock around the steps of each rank knows nothing of their parts.
TEST_F(RanksReport, PartsOfAStepAddUpToTheTimeOfAnotherClock) {
  for (const int ranks : {2, 3}) {
    const Outcome outcome =
        RunOn(ranks, {"bench", "train", "--model", "vgg", "--width", "0.25", "--batch-size", "48",
                      "--steps", "20", "--threads", "1", "--json"});
    const auto all = nlohmann::json::parse(outcome.out).at("ranks");
    ASSERT_EQ(all.size(), static_cast<size_t>(ranks));
    for (const auto& rank : all) {
      const double timed = rank.at("timed_ms");
      double parts = 0.0;
      for (const char* part :
           {"data_ms", "compute_ms", "exposed_ms", "wait_ms", "update_ms", "other_ms"}) {
        EXPECT_GE(rank.at(part), part == std::string("other_ms") ? -0.01 * timed : 0.0) << part;
        parts += rank.at(part).get<double>();
      }
      EXPECT_NEAR(rank.at("step_ms"), timed, 0.03 * timed) << rank;
      EXPECT_NEAR(parts, timed, 0.03 * timed) << rank;
      EXPECT_LT(rank.at("other_ms"), 0.03 * timed) << rank;
    }
  }
}

// Nor does the clock of the log, between the ends of two epochs without an evaluation.
TEST_F(RanksReport, StepsOfAnEpochTakeWhatItTakes) {
  for (const char* mode : {"False", "True"}) {
    const Outcome outcome = RunOn(
        2, {"train", "--train", Channel("large", Pictures(3200)), "--model", "vgg", "--width",
            "0.125", "--batch-size", "16", "--threads", "1", "--epochs", "3", "--reproducible",
            mode, "--model-dir", Dir("model"), "--output-data-dir", Dir("out")});
    EXPECT_THAT(outcome.out, HasSubstr("# milliseconds of a step, mean of 600;"));
    const auto log = Log();
    ASSERT_EQ(log.size(), 3U);
    for (size_t epoch = 1; epoch < 3; ++epoch) {
      const auto& entry = log[epoch];
      double parts = 0.0;
      for (const char* part :
           {"data", "compute", "exposed_communication", "wait", "update", "other"}) {
        parts += entry.at(std::string("time/") + part).get<double>();
      }
      const double elapsed =
          entry.at("elapsed_time").get<double>() - log[epoch - 1].at("elapsed_time").get<double>();
      EXPECT_GE(entry.at("time/hidden_communication"), 0.0);
      EXPECT_LE(200 * parts, 1.001 * elapsed);
      // Between epochs their report is written, too.
      EXPECT_GE(200 * parts, 0.97 * elapsed - 0.2);
    }
  }
}

TEST_F(RanksReport, OneProcessSaysNothing) {
  EXPECT_THAT(RunWell(Train()).out, Not(HasSubstr("milliseconds of a step")));
  EXPECT_FALSE(Log().at(0).contains("time/step"));
}

TEST_F(RanksReport, TraceHasAllRanksOnOneClock) {
  const std::string path = Dir("trace.json");
  const Outcome outcome = RunOn(3, Train({"--trace", path, "--epochs", "2"}, "job"));
  EXPECT_THAT(outcome.out, HasSubstr("trace written to " + path));
  const SeenTrace trace = ReadTrace(path);
  ASSERT_EQ(trace.processes.size(), 3U);
  for (const int rank : {0, 1, 2}) {
    EXPECT_THAT(trace.processes.at(rank), HasSubstr("rank " + std::to_string(rank) + " @ "));
    EXPECT_EQ(trace.Of(rank, "step").size(), 10U);
    for (const char* name : {"data", "forward, backward", "update"}) {
      EXPECT_FALSE(trace.Of(rank, name).empty()) << name;
    }
    EXPECT_GE(trace.Of(rank, "sum of gradients").size(), 10U);
    EXPECT_EQ(trace.Of(rank, "evaluation").size(), 2U);
    EXPECT_LT(trace.other.at("clock_error_us").at(static_cast<size_t>(rank)), 20e3);
  }
  EXPECT_FALSE(trace.Of(0, "checkpoints").empty());
  // Nobody leaves a step that another has not begun.
  const std::vector<SeenEvent> mine = trace.Of(0, "step"), others = trace.Of(2, "step");
  for (size_t i = 0; i < mine.size(); ++i) {
    EXPECT_GT(mine[i].end, others[i].begin);
    EXPECT_GT(others[i].end, mine[i].begin);
  }
}

TEST_F(RanksReport, TraceOfOneProcessHoldsTheStepsAskedFor) {
  const std::string path = Dir("trace.json");
  RunWell(Train({"--trace", path, "--trace-steps", "3-5"}));
  const SeenTrace trace = ReadTrace(path);
  ASSERT_EQ(trace.Of(0, "step").size(), 3U);
  EXPECT_EQ(trace.Of(0, "step")[0].args.at("step"), 3);
  EXPECT_EQ(trace.Of(0, "evaluation").size(), 1U);
  EXPECT_TRUE(trace.Of(0, "wait").empty());
}

TEST_F(RanksReport, ATraceThatCannotBeWrittenIsKnownBeforeTheFirstStep) {
  std::filesystem::create_directory(Dir("taken"));
  const Outcome outcome = RunProgram(Train({"--trace", Dir("taken")}), Setting());
  ExpectRefusal(outcome, 73, {"taken"});
  const Arguments endless = {"bench", "train", "--model", "dnn", "--steps", "1000000000"};
  ExpectRefusal(Run(endless + Arguments{"--trace", Dir("taken")}), 73, {"taken"});
  ExpectRefusal(RunProgram(Train({"--trace", Dir("t"), "--trace-steps", "9-3"}), Setting()), 64,
                {"--trace-steps '9-3'", "the first and the last"});
}

// Lets a rank run for a part of the time only, as one does whose host has other work, from when
// `begins` on.
class SlowRank {
 public:
  SlowRank(std::function<bool()> begins, std::function<pid_t()> pid, std::chrono::milliseconds runs)
      : thread_([this, begins = std::move(begins), pid = std::move(pid), runs] {
          while (!ended_ && !begins()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
          if (ended_) return;
          const pid_t rank = pid();
          while (!ended_) {
            ::kill(rank, SIGSTOP);
            std::this_thread::sleep_for(std::chrono::milliseconds(60));
            ::kill(rank, SIGCONT);
            std::this_thread::sleep_for(runs);
          }
        }) {}
  ~SlowRank() {
    ended_ = true;
    thread_.join();
  }
  SlowRank(const SlowRank&) = delete;
  SlowRank& operator=(const SlowRank&) = delete;

 private:
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

TEST_F(RanksReport, ARankThatIsLateIsNamed) {
  const Arguments bench = {"bench", "train", "--model", "mlp", "--batch-size", "256", "--steps"};
  Outcome outcome;
  {
    const SlowRank slow([&] { return Exists("pid.1"); }, [&] { return PidOf(1); },
                        std::chrono::milliseconds(30));
    outcome = RunOn(2, bench + Arguments{"60", "--threads", "1"});
  }
  EXPECT_THAT(outcome.out, HasSubstr("\nrank 1 on "));
  EXPECT_THAT(outcome.out, HasSubstr(" ms late on average, "));
  EXPECT_THAT(outcome.out, HasSubstr(" % of a step: the others wait for it\n"));
}

// Nobody takes it for dead, and it changes nothing.
TEST_F(RanksReport, ATrainingWithARankThatIsLateCompletesAndNamesIt) {
  const Arguments job = {"--reproducible", "True", "--lanes", "4", "--epochs", "16"};
  const std::string hash = RunWell(Train(job)).WeightsHash();
  std::filesystem::remove_all(Dir("out"));
  Outcome outcome;
  {
    const SlowRank slow([&] { return Exists("out/log"); }, [&] { return PidOf(1); },
                        std::chrono::milliseconds(15));
    outcome = RunOn(2, Train(job));
  }
  EXPECT_EQ(outcome.err, "");
  EXPECT_EQ(outcome.WeightsHash(), hash);
  EXPECT_THAT(outcome.out, HasSubstr("\nrank 1 on "));
  EXPECT_THAT(outcome.out, HasSubstr(" % of a step: the others wait for it\n"));
}

}  // namespace
}  // namespace lockstep::tools
