// Steps of several ranks, measured.
#include "engine/train/step_meter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <mutex>
#include <thread>

#include "engine/train/seconds.h"
#include "kernels/error.h"
#include "tests/comm/ranks.h"
#include "tests/comm/training_job.h"
#include "tests/comm/wrapped_source.h"
#include "tests/engine/trace_check.h"
#include "tests/temporary_directory.h"

namespace lockstep::testing {
namespace {

double PartsOf(const StepTimes& times) {
  return times.data + times.compute + times.exposed + times.wait + times.update + times.other;
}

void Sleep(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

// Measures a job; what is measured is kept when training ends.
class Measuring : public Extension {
 public:
  Measuring(std::vector<MeterInterval>* kept, std::string trace_path)
      : kept_(kept), path_(std::move(trace_path)) {}
  std::string name() const override { return "measuring"; }
  Trigger trigger() const override { return Trigger::Never(); }
  void Invoke(Trainer&) override {}
  void Finish(Trainer& trainer) override {
    RankGroup& group = trainer.network().group();
    (*kept_)[static_cast<size_t>(group.rank())] = trainer.meter()->TakeInterval();
    if (path_.empty()) return;
    WriteTrace(group, *trainer.meter()->trace(), "host" + std::to_string(group.rank()),
               trainer.meter()->ClockErrors(), path_);
  }

 private:
  std::vector<MeterInterval>* kept_;
  std::string path_;
};

class MeasuredSteps : public ::testing::TestWithParam<int> {
 protected:
  static constexpr double kLate = 0.05;  // far above what other work on the machine does

  MeasuredSteps() {
    job_.samples = 320;
    job_.network.lanes = GetParam();
  }
  // `late` takes its batches that much later than the others.
  std::vector<MeterInterval> Run(int ranks, int late, const std::string& trace_path = "") {
    std::vector<MeterInterval> kept(static_cast<size_t>(ranks));
    OnRanks(ranks, [&](Communicator& communicator) {
      const int rank = communicator.rank();
      CommGroup group(communicator);
      JobOptions job = job_;
      job.wrap = [=](BatchSource& source) {
        return std::make_unique<WrappedSource>(source, [=](Batch*, std::vector<int64_t>*) {
          if (rank == late) Sleep(kLate);
        });
      };
      job.prepare = [&](Trainer& trainer) {
        MeterOptions options;
        if (!trace_path.empty()) options.trace = TraceOptions{};
        trainer.Measure(options);
        trainer.Extend(std::make_unique<Measuring>(&kept, trace_path));
      };
      RunJob(job, &group);
    });
    return kept;
  }

  JobOptions job_;
};

TEST_P(MeasuredSteps, FallIntoPartsThatAddUp) {
  for (const int ranks : {1, 2, 3}) {
    const double start = Seconds();
    const std::vector<MeterInterval> measured = Run(ranks, ranks - 1);
    const double took = Seconds() - start;
    for (const MeterInterval& rank : measured) {
      EXPECT_EQ(rank.steps, 10);
      EXPECT_NEAR(PartsOf(rank.times), rank.times.wall, 1e-9);
      EXPECT_LE(rank.times.wall, took);
      EXPECT_GT(rank.times.wall, 10 * kLate);
      for (const double part :
           {rank.times.data, rank.times.compute, rank.times.exposed, rank.times.wait,
            rank.times.update, rank.times.other, rank.times.hidden}) {
        EXPECT_GE(part, 0.0);
      }
      EXPECT_LT(rank.times.other, 0.2 * rank.times.wall);
    }
  }
}

TEST_P(MeasuredSteps, SayWhoWaitedForWhom) {
  const std::vector<MeterInterval> measured = Run(3, 1);
  const double slept = 10 * kLate;
  EXPECT_GT(measured[1].times.data, slept);
  EXPECT_LT(measured[1].times.wait, 0.5 * slept);
  for (const size_t rank : {0, 2}) {
    EXPECT_LT(measured[rank].times.data, 0.5 * slept);
    EXPECT_GT(measured[rank].times.wait, 0.5 * slept);
    EXPECT_GT(measured[rank].waited_for[1], 0.5 * measured[rank].times.wait);
  }
  for (const MeterInterval& rank : measured) {
    EXPECT_GT(rank.lateness[1], 0.5 * slept);
    EXPECT_LT(rank.lateness[0], 0.5 * slept);
    EXPECT_LT(rank.lateness[2], 0.5 * slept);
  }
}

TEST_P(MeasuredSteps, MakeATraceOfAllRanks) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/trace.json";
  Run(3, 2, path);
  const SeenTrace trace = ReadTrace(path);
  EXPECT_EQ(trace.processes.size(), 3U);
  EXPECT_EQ(trace.processes.at(1), "rank 1 @ host1");
  for (const int rank : {0, 1, 2}) {
    EXPECT_EQ(trace.Of(rank, "step").size(), 10U);
    EXPECT_EQ(trace.Of(rank, "forward, backward").size(), 10U);
    EXPECT_EQ(trace.Of(rank, "update").size(), 10U);
    for (const SeenEvent& sum : trace.Of(rank, "sum of gradients")) {
      EXPECT_EQ(sum.thread, 1);
      EXPECT_GT(sum.args.at("bytes"), 0);
    }
    // Lanes do their first step twice: they do not know yet how large gradients are.
    EXPECT_EQ(trace.Of(rank, "sum of gradients").size(), GetParam() > 0 ? 11U : 10U);
  }
  if (GetParam() > 0) return;
  size_t waits = 0;
  for (const SeenEvent& wait : trace.Of(0, "wait")) {
    if (wait.args.at("rank") == 2 && wait.end - wait.begin > 0.5 * kLate) ++waits;
  }
  EXPECT_GE(waits, 7U);
}

INSTANTIATE_TEST_SUITE_P(Of, MeasuredSteps, ::testing::Values(0, 6), [](const auto& info) {
  return std::string(info.param == 0 ? "Fast" : "Reproducible");
});

// Who writes it cannot, and the others do not wait for it.
TEST(WriteTraceOfRanks, ThatCannotBeWrittenHoldsUpNobody) {
  const TemporaryDirectory directory;
  std::vector<std::string> ends(3);
  OnRanks(3, [&](Communicator& communicator) {
    CommGroup group(communicator);
    std::string& end = ends[static_cast<size_t>(group.rank())];
    try {
      WriteTrace(group, TraceLog(), "here", {0.0, 0.0, 0.0}, directory / "no/trace.json");
      end = "returned";
    } catch (const IoError&) {
      end = "IoError";
    }
  });
  EXPECT_THAT(ends, ::testing::ElementsAre("IoError", "returned", "returned"));
}

// Tells the times of its sums by another clock, as its rank does.
class ShiftedSync : public AllreduceSync {
 public:
  ShiftedSync(CommGroup& group, double shift) : AllreduceSync(group), shift_(shift) {}
  std::vector<SumTime> TakeTimes() override {
    std::vector<SumTime> times = AllreduceSync::TakeTimes();
    for (SumTime& time : times) {
      time.begin += shift_;
      time.end += shift_;
    }
    return times;
  }

 private:
  double shift_;
};

// Ranks whose clocks are hours apart exchange what a step exchanges.
TEST(StepMeterTest, PutsTheTimesOfAllRanksOnOneClock) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/trace.json";
  std::mutex mutex;
  std::vector<double> waits(3);
  double start = 0.0;  // the true time of what the trace calls 0
  std::vector<std::vector<double>> arrived(3);
  OnRanks(3, [&](Communicator& communicator) {
    CommGroup group(communicator);
    const int rank = group.rank();
    const double shift = 4000.0 * rank;
    ShiftedSync sync(group, shift);
    StepMeter meter(group, sync,
                    {.trace = TraceOptions{}, .clock = [=] { return Seconds() + shift; }});
    for (int step = 1; step <= 20; ++step) {
      if (step == 1 && rank == 0) start = Seconds();
      meter.Enter(StepPart::kData);
      Sleep(rank == step % 3 ? 0.004 : 0.001);
      meter.Enter(StepPart::kCompute);
      {
        const std::lock_guard<std::mutex> lock(mutex);
        arrived[static_cast<size_t>(rank)].push_back(Seconds());
      }
      meter.Enter(StepPart::kFinish);
      const TimeShare mine = meter.EnterExchange();
      meter.LeaveExchange(GatherValues(group, mine));
      meter.EndStep(step);
    }
    waits[static_cast<size_t>(rank)] = meter.TakeInterval().times.wait;
    for (const double error : meter.ClockErrors()) EXPECT_LT(error, 5e-3);
    WriteTrace(group, *meter.trace(), "here", meter.ClockErrors(), path);
  });
  for (const double wait : waits) {
    // 13 times another one is 3 ms later, unless this one's core was busy.
    EXPECT_GT(wait, 4 * 0.003);
    EXPECT_LT(wait, 1.0);
  }
  const SeenTrace trace = ReadTrace(path);
  double error = 0.0;
  for (const int rank : {0, 1, 2}) {
    const std::vector<SeenEvent> data = trace.Of(rank, "data");
    ASSERT_EQ(data.size(), 20U);
    for (size_t i = 0; i < data.size(); ++i) {
      error =
          std::max(error, std::abs(data[i].end - (arrived[static_cast<size_t>(rank)][i] - start)));
    }
  }
  EXPECT_LT(error, 5e-3);
}

}  // namespace
}  // namespace lockstep::testing
