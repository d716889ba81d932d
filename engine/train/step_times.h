// Where the time of a step went, on one rank of several.
#ifndef LOCKSTEP_ENGINE_TRAIN_STEP_TIMES_H_
#define LOCKSTEP_ENGINE_TRAIN_STEP_TIMES_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/train/param_sync.h"

namespace lockstep {

// The parts that a step falls into on the training thread, one after the other.
enum class StepPart : uint8_t {
  kStart,     // before it, ranks agree whether to go on
  kData,      // until the batch is there
  kCompute,   // forward and backward
  kFinish,    // until the gradients are sums over all ranks
  kExchange,  // of loss sums and these times
  kAverage,   // running statistics
  kUpdate,
  kOther,
  kCount,
};

// Seconds in each part, and of them in collectives called there.
struct PartTimes {
  double in[static_cast<size_t>(StepPart::kCount)] = {};
  double blocked[static_cast<size_t>(StepPart::kCount)] = {};

  double of(StepPart part) const { return in[static_cast<size_t>(part)]; }
  double blocked_in(StepPart part) const { return blocked[static_cast<size_t>(part)]; }
  // Of data and compute: where ranks meet in the middle of a batch.
  double blocked_inside() const {
    return blocked_in(StepPart::kData) + blocked_in(StepPart::kCompute);
  }
};

// What a rank tells the others of a step with its loss sums; seconds, moments on its own clock.
struct TimeShare {
  double entered = 0.0;         // this exchange
  double left = 0.0;            // the one before
  double arrived = 0.0;         // the end of its backward pass
  double start_blocked = 0.0;   // in the collective before the step
  double inside_blocked = 0.0;  // in collectives of data and compute
  double summing = 0.0;         // its communication thread, in sums of gradients
};

// Seconds of one step, or of many added up. All but `hidden` add up to `wall`.
struct StepTimes {
  double wall = 0.0;
  double data = 0.0;
  double compute = 0.0;
  double exposed = 0.0;  // communication that computation waited for
  double wait = 0.0;     // for ranks that came later
  double update = 0.0;
  double other = 0.0;
  double hidden = 0.0;     // communication beside computation
  double sums_late = 0.0;  // of exposed: sums of gradients after the last rank's backward pass

  StepTimes& operator+=(const StepTimes& step);
  // The share of the sums of gradients that computation did not wait for.
  double hidden_share() const;
};

// A step's times on rank `me`, from its own parts and what all ranks have told. `arrivals`: when
// each had what it adds to the step, on the clock of `me` (Arrivals). `overlapped`: seconds of sums
// of gradients while this rank computed, not stood still.
StepTimes SplitStep(const PartTimes& parts, std::span<const TimeShare> shares,
                    std::span<const double> arrivals, int me, double overlapped);

// How long this rank waited before the step for who came last to it, the first such rank.
double StartWait(std::span<const TimeShare> shares, int me);
size_t LastToStart(std::span<const TimeShare> shares);

// `offsets[r]`: how far the clock of rank r is ahead. Where ranks meet in the middle of a step all
// end it together; who was blocked least there came last, and so counts time spent there back.
std::vector<double> Arrivals(std::span<const TimeShare> shares, std::span<const double> offsets);

// Seconds that sums took while [begin, end] lasted.
double Overlap(std::span<const SumTime> sums, double begin, double end);
// The same, but for what this rank stood still meanwhile.
double OverlapBeside(std::span<const SumTime> sums, std::span<const TimeSpan> blocked, double begin,
                     double end);
double Total(std::span<const SumTime> sums);

// By how much each rank came later than the median of the others; negative: earlier.
std::vector<double> Lateness(std::span<const double> arrivals);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_STEP_TIMES_H_
