// When sums of gradients began and ended, told from one thread to another.
#ifndef LOCKSTEP_COMM_SUM_TIMES_H_
#define LOCKSTEP_COMM_SUM_TIMES_H_

#include <mutex>
#include <utility>
#include <vector>

#include "engine/train/param_sync.h"

namespace lockstep {

// Keeps the oldest kMost until they are taken: nobody may ever ask.
class SumTimes {
 public:
  void Add(SumTime time) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (times_.size() < kMost) times_.push_back(time);
  }
  std::vector<SumTime> Take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return std::exchange(times_, {});
  }

 private:
  static constexpr size_t kMost = 4096;

  std::mutex mutex_;
  std::vector<SumTime> times_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_SUM_TIMES_H_
