// The steps of a rank whose clock, collectives and neighbour are made up.
#include "engine/train/step_meter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <sstream>

namespace lockstep {
namespace {

using ::testing::ElementsAre;

// Rank 0 of two; the other says what this one says.
class Echo : public OneRank {
 public:
  int size() const override { return 2; }
  void Gather(const void* mine, size_t bytes, void* all) override {
    std::memcpy(all, mine, bytes);
    std::memcpy(static_cast<char*>(all) + bytes, mine, bytes);
  }
  double seconds_blocked() const override { return blocked; }

  double blocked = 0.0;
};

class MadeUpSteps : public ::testing::Test {
 protected:
  StepMeter Make(TraceOptions trace = {}) {
    return StepMeter(group_, sync_, {.trace = trace, .clock = [this] { return now_; }});
  }
  // In `part` until then, for `blocked` seconds in collectives.
  void In(StepMeter* meter, StepPart part, double until, double blocked = 0.0) {
    meter->Enter(part);
    now_ = until;
    group_.blocked += blocked;
  }
  // A step of 20 seconds. The other rank comes to its start 2 seconds later than this one, and is
  // done with its own 7.5 later, of which this one has spent 2 inside of its computation.
  void Step(StepMeter* meter, int64_t iteration) {
    const double start = now_;
    In(meter, StepPart::kStart, start + 3.0, 3.0);
    In(meter, StepPart::kData, start + 4.0);
    In(meter, StepPart::kCompute, start + 10.0, 2.0);
    In(meter, StepPart::kFinish, start + 15.0);
    const TimeShare mine = meter->EnterExchange();
    TimeShare other = mine;
    other.arrived = start + 15.5;
    other.start_blocked = 1.0;
    other.inside_blocked = 0.0;
    now_ = start + 16.0;
    meter->LeaveExchange({mine, other});  // and into the running statistics
    now_ = start + 18.0;
    In(meter, StepPart::kUpdate, start + 19.0);
    In(meter, StepPart::kOther, start + 20.0);
    meter->EndStep(iteration);
  }
  // "name begin-end", and for whom it waits.
  static std::vector<std::string> Texts(const TraceLog& log) {
    std::vector<std::string> texts;
    for (const TraceEvent& event : log.Events()) {
      std::ostringstream text;
      text << log.names()[static_cast<size_t>(event.name)] << ' ' << event.begin << '-'
           << event.end;
      if (event.waits_for >= 0) text << " for " << event.waits_for;
      texts.push_back(text.str());
    }
    return texts;
  }

  Echo group_;
  LocalSync sync_;
  double now_ = 100.0;
};

TEST_F(MadeUpSteps, AreMeasuredToTheSecond) {
  StepMeter meter = Make();
  for (int64_t step = 1; step <= 3; ++step) Step(&meter, step);
  const MeterInterval measured = meter.TakeInterval();
  EXPECT_EQ(measured.steps, 3);
  EXPECT_DOUBLE_EQ(measured.times.wall, 3 * 20.0);
  EXPECT_DOUBLE_EQ(measured.times.data, 3 * 1.0);
  EXPECT_DOUBLE_EQ(measured.times.compute, 3 * 4.0);
  EXPECT_DOUBLE_EQ(measured.times.wait, 3 * (2.0 + 7.5));
  EXPECT_DOUBLE_EQ(measured.times.exposed, 3 * (1.0 + 0.5 + 2.0));  // start, exchange, statistics
  EXPECT_DOUBLE_EQ(measured.times.update, 3 * 1.0);
  EXPECT_DOUBLE_EQ(measured.times.other, 3 * 1.0);
  EXPECT_THAT(measured.waited_for, ElementsAre(0.0, 3 * 9.5));
  EXPECT_THAT(measured.lateness, ElementsAre(3 * -7.5, 3 * 7.5));
  EXPECT_EQ(meter.TakeInterval().steps, 0);
}

TEST_F(MadeUpSteps, AreDrawnWithTheirWaits) {
  StepMeter meter = Make();
  Step(&meter, 1);
  EXPECT_THAT(Texts(*meter.trace()),
              ElementsAre("wait 100-102 for 1", "agree to go on 102-103", "data 103-104",
                          "forward, backward 104-110", "wait 110-115 for 1", "wait 115-115.5 for 1",
                          "exchange of losses 115.5-116", "running statistics 116-118",
                          "update 118-119", "other 119-120", "step 100-120"));
}

TEST_F(MadeUpSteps, AreDrawnOnlyWhereAskedFor) {
  StepMeter meter = Make({.first_step = 2, .last_step = 2});
  for (int64_t step = 1; step <= 3; ++step) {
    Step(&meter, step);
    const double begin = now_;
    now_ += 5.0;
    meter.AddSpan("evaluation", begin);
    meter.AddSpan("too short to see", now_ - 1e-6);
  }
  const std::vector<std::string> texts = Texts(*meter.trace());
  EXPECT_EQ(texts.size(), 12U);
  EXPECT_EQ(texts.back(), "evaluation 145-150");
}

// One that ended by an error on the way is none.
TEST_F(MadeUpSteps, ThatWereGivenUpDoNotCount) {
  StepMeter meter = Make();
  In(&meter, StepPart::kData, 130.0);
  In(&meter, StepPart::kCompute, 150.0);
  In(&meter, StepPart::kData, 151.0);
  In(&meter, StepPart::kCompute, 153.0);
  const TimeShare mine = meter.EnterExchange();
  meter.LeaveExchange({mine, mine});
  meter.EndStep(1);
  const MeterInterval measured = meter.TakeInterval();
  EXPECT_DOUBLE_EQ(measured.times.wall, 3.0);
  EXPECT_DOUBLE_EQ(measured.times.data, 1.0);
}

}  // namespace
}  // namespace lockstep
