// Measures the steps of one rank, and learns what the others waited for.
#ifndef LOCKSTEP_ENGINE_TRAIN_STEP_METER_H_
#define LOCKSTEP_ENGINE_TRAIN_STEP_METER_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/train/param_sync.h"
#include "engine/train/rank_clock.h"
#include "engine/train/rank_group.h"
#include "engine/train/seconds.h"
#include "engine/train/step_times.h"
#include "engine/train/trace.h"

namespace lockstep {

struct MeterOptions {
  std::optional<TraceOptions> trace = {};  // nothing: no trace
  // Seconds of a monotonic clock.
  std::function<double()> clock = Seconds;
};

// Of steps that have ended, added up.
struct MeterInterval {
  StepTimes times = {};
  int64_t steps = 0;
  std::vector<double> waited_for = {};  // of times.wait, by the rank that came last
  std::vector<double> lateness = {};    // of each rank, the same on all (Lateness)
};

// The trainer calls it at every border between parts of a step, so that they add up to the step by
// construction. From the training thread.
class StepMeter {
 public:
  // Everything must outlive it. Every rank makes one at the same time: they compare clocks.
  StepMeter(RankGroup& group, ParamSync& sync, MeterOptions options);

  // Whatever was before ends here. Outside of a step, one begins.
  void Enter(StepPart part);
  // Around the exchange, with what this rank tells and what all have told.
  TimeShare EnterExchange();
  void LeaveExchange(const std::vector<TimeShare>& shares);
  void EndStep(int64_t iteration);
  // Beside the steps: an evaluation, a checkpoint. Only for the trace.
  double Now() const { return options_.clock(); }
  void AddSpan(const std::string& name, double begin);

  // Since it was last called.
  MeterInterval TakeInterval();
  // Null where none was asked for.
  const TraceLog* trace() const { return trace_ ? &*trace_ : nullptr; }
  // By how much the times of each rank may be wrong in the trace.
  std::vector<double> ClockErrors() const;

 private:
  // A part as it was, on this rank's clock.
  struct Span {
    StepPart part = StepPart::kOther;
    double begin = 0.0, end = 0.0;
  };
  void CompareClocks();
  // When each rank entered this collective and left the one before.
  void Learn(const std::vector<Passage>& told);
  void Close(double now);
  Span SpanOf(StepPart part) const;
  void Trace(double start_wait, double late, int32_t last);
  TraceEvent Event(const std::string& name, double begin, double end);

  RankGroup& group_;
  ParamSync& sync_;
  MeterOptions options_;
  RankClock clock_;
  double offset_ = 0.0;  // of this rank's clock against rank 0's
  std::optional<TraceLog> trace_;
  MeterInterval interval_;

  // Of the exchange before: when each rank entered it, and this one left it.
  std::vector<double> entered_;
  double left_ = 0.0;

  // Of the step under way.
  int64_t step_ = 0;
  bool under_way_ = false;
  StepPart part_ = StepPart::kOther;
  double since_ = 0.0, blocked_ = 0.0;
  PartTimes parts_;
  std::vector<Span> spans_;
  std::vector<SumTime> sums_;
  std::vector<TimeShare> shares_;
  std::vector<double> arrivals_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_STEP_METER_H_
