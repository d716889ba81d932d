// When something is due: a function of the counters alone, so there is nothing to save.
#ifndef LOCKSTEP_ENGINE_TRAIN_TRIGGER_H_
#define LOCKSTEP_ENGINE_TRAIN_TRIGGER_H_

#include <cstdint>

namespace lockstep {

// Counters right after an update.
struct TrainingClock {
  int64_t iteration = 0;     // batches used
  int64_t epoch = 0;         // passes completed
  bool epoch_ended = false;  // the last batch ended one
};

struct Trigger {
  enum class Unit : uint8_t { kIterations, kEpochs };

  int64_t every = 1;  // 0: never
  Unit unit = Unit::kEpochs;

  static Trigger Iterations(int64_t every) { return {every, Unit::kIterations}; }
  static Trigger Epochs(int64_t every) { return {every, Unit::kEpochs}; }
  static Trigger Never() { return {0, Unit::kIterations}; }

  bool Fires(const TrainingClock& clock) const {
    if (every <= 0) return false;
    if (unit == Unit::kIterations) return clock.iteration % every == 0;
    return clock.epoch_ended && clock.epoch % every == 0;
  }
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_TRIGGER_H_
