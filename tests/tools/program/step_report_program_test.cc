// What jobs of several processes say about their time.
#include <gmock/gmock.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>
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
      EXPECT_GE(200 * parts, 0.97 * elapsed);
    }
  }
}

TEST_F(RanksReport, OneProcessSaysNothing) {
  EXPECT_THAT(RunWell(Train()).out, Not(HasSubstr("milliseconds of a step")));
  EXPECT_FALSE(Log().at(0).contains("time/step"));
}

// Of three, which trained for two epochs of five steps.
void ExpectOneClock(const SeenTrace& trace) {
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
  // Nobody leaves a step that another has not begun.
  const std::vector<SeenEvent> mine = trace.Of(0, "step"), others = trace.Of(2, "step");
  for (size_t i = 0; i < mine.size(); ++i) {
    EXPECT_GT(mine[i].end, others[i].begin);
    EXPECT_GT(others[i].end, mine[i].begin);
  }
}

TEST_F(RanksReport, TraceHasAllRanksOnOneClock) {
  const std::string path = Dir("trace.json");
  const Outcome outcome = RunOn(3, Train({"--trace", path, "--epochs", "2"}, "job"));
  EXPECT_THAT(outcome.out, HasSubstr("trace written to " + path));
  const SeenTrace trace = ReadTrace(path);
  ExpectOneClock(trace);
  EXPECT_FALSE(trace.Of(0, "checkpoints").empty());
}

// As on another host, which was started more than an hour earlier.
TEST_F(RanksReport, TraceHasRanksOfOtherClocksOnOne) {
  const std::string other_clock = "unshare --time --fork --monotonic 4000";
  if (std::system((other_clock + " true 2>/dev/null").c_str()) != 0) {
    GTEST_SKIP() << "no time namespaces here";
  }
  ProgramSetting setting = Under(3);
  setting.launcher.insert(setting.launcher.end(), {"/bin/sh", "-c",
                                                   "if [ $OMPI_COMM_WORLD_RANK = 2 ]; then exec " +
                                                       other_clock + " \"$@\"; fi; exec \"$@\"",
                                                   "sh"});
  const std::string path = Dir("trace.json");
  const Outcome outcome = RunProgram(Train({"--trace", path, "--epochs", "2"}), setting);
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  ExpectOneClock(ReadTrace(path));
}

// The sums that began in a step, in their order.
std::vector<SeenEvent> SumsOf(const SeenTrace& trace, int rank, const SeenEvent& step) {
  std::vector<SeenEvent> sums = trace.Of(rank, "sum of gradients");
  std::erase_if(
      sums, [&](const SeenEvent& sum) { return sum.begin < step.begin || sum.begin >= step.end; });
  std::sort(sums.begin(), sums.end(),
            [](const SeenEvent& a, const SeenEvent& b) { return a.begin < b.begin; });
  return sums;
}

std::vector<int64_t> BytesOf(const std::vector<SeenEvent>& sums) {
  std::vector<int64_t> bytes;
  bytes.reserve(sums.size());
  for (const SeenEvent& sum : sums) bytes.push_back(sum.args.at("bytes"));
  return bytes;
}

// Pictures this large keep a step busy with computing: sums that all waited for the end of the pass
// would begin in its last twentieth.
TEST_F(RanksReport, SumsOfAFixedOrderBeginWhileTheBackwardPassStillRuns) {
  constexpr int64_t kBucket = 16384, kSteps = 10;
  Arrays pictures = Pictures(64 * kSteps);
  Tensor& data = pictures.at("data");
  data = Tensor(DType::kUint8, Shape({64 * kSteps, 3, 32, 32}));
  std::mt19937 random(3);
  for (uint8_t& value : data.values<uint8_t>()) value = static_cast<uint8_t>(random());
  const std::string large = Channel("large", pictures), path = Dir("trace.json");
  const std::string bucket = std::to_string(kBucket);
  const Arguments job{"train",  "--train",      large,        "--model",        "vgg",  "--width",
                      "0.0625", "--batch-size", "64",         "--threads",      "1",    "--epochs",
                      "1",      "--model-dir",  Dir("model"), "--bucket-bytes", bucket, "--trace",
                      path};
  for (const char* reproducible : {"False", "True"}) {
    RunOn(2, job + Arguments{"--reproducible", reproducible});
    const SeenTrace trace = ReadTrace(path);
    const std::vector<int64_t> wanted = BytesOf(SumsOf(trace, 0, trace.Of(0, "step").back()));
    const auto sums_of_a_step = static_cast<int64_t>(wanted.size());
    ASSERT_GT(sums_of_a_step, 10);
    EXPECT_EQ(std::count(wanted.begin(), wanted.end() - 1, kBucket), sums_of_a_step - 1);
    EXPECT_LE(wanted.back(), kBucket);
    for (const int rank : {0, 1}) {
      const std::vector<SeenEvent> steps = trace.Of(rank, "step"),
                                   passes = trace.Of(rank, "forward, backward");
      ASSERT_EQ(steps.size(), kSteps);
      ASSERT_EQ(passes.size(), kSteps);
      int early = 0;
      for (size_t i = 0; i < steps.size(); ++i) {
        const std::vector<SeenEvent> sums = SumsOf(trace, rank, steps[i]);
        // The reproducible mode does a step again whose gradients are larger than it expected.
        std::vector<int64_t> expected = wanted;
        while (*reproducible == 'T' && expected.size() < sums.size()) {
          expected.insert(expected.end(), wanted.begin(), wanted.end());
        }
        ASSERT_EQ(BytesOf(sums), expected) << "rank " << rank << ", step " << i + 1;
        // There the pass ends with the last of its sums.
        const double pass = passes[i].end - passes[i].begin;
        if (sums.front().begin - passes[i].begin < 0.75 * pass) ++early;
      }
      // Whoever sends may get no core in time, but not often.
      EXPECT_GT(early, kSteps / 2) << "rank " << rank;
    }
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
