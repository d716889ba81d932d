// Steps on a device that nobody waits for.
#ifndef LOCKSTEP_ENGINE_TRAIN_LATE_STEPS_H_
#define LOCKSTEP_ENGINE_TRAIN_LATE_STEPS_H_

#include <cstdint>
#include <exception>
#include <map>
#include <optional>
#include <vector>

#include "engine/optim/updater.h"
#include "engine/tensor/device_memory.h"
#include "engine/train/batch_source.h"
#include "engine/train/network.h"
#include "engine/train/trigger.h"

namespace lockstep {

// Forward, backward and update follow each other on the device; what steps came to stays in its
// memory until somebody asks. A step whose loss is not finite, or counts nothing, changes nothing,
// and neither does any step behind it: the host learns of it late, but finds all as it was.
class LateSteps {
 public:
  // Where a step began.
  struct Start {
    TrainingClock clock;
    SourcePosition position;
    int64_t updates = 0;
  };
  // Of the steps since somebody last asked.
  struct Results {
    std::vector<LossSums> sums = {};       // of each, up to the one that failed
    std::optional<Start> failed = {};      // where that began;
    LossSums failed_sums = {};             // what it came to,
    std::exception_ptr failure = nullptr;  // and what kernels said of it, if they did
  };

  // All must outlive it. One rank, fast mode.
  LateSteps(Network& network, Updater& updater);

  // Forward, backward and update.
  void Train(const Batch& batch, double learning_rate, const Start& start);
  // One whose labels are all ignored.
  void Skip(const Start& start);

  bool empty() const { return steps_.empty(); }
  bool full() const { return steps_.size() == StepLog::kSteps; }
  // Waits for them. What a failed step has stopped goes on afterwards, from where it began.
  Results Take();

 private:
  struct Step {
    Start start;
    bool computed = false;
  };
  // The sums of the step under way, then what steps noted; in the device's memory.
  struct Memory {
    LossSums sums;
    StepLog log;
  };
  Memory* memory() const { return static_cast<Memory*>(memory_.get()); }
  void Begin();
  void Finish(UpdateNumbers* numbers);
  void Download(int64_t steps, StepLog* log) const;

  Network& network_;
  Updater& updater_;
  Backend& backend_;
  DeviceMemory memory_;
  DeviceMemory states_;  // running statistics from before the step under way
  std::vector<Step> steps_;
  std::map<const Plan*, RepeatedWork> work_;  // whole steps
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_LATE_STEPS_H_
