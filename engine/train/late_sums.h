// What batches come to on a device that nobody waits for.
#ifndef LOCKSTEP_ENGINE_TRAIN_LATE_SUMS_H_
#define LOCKSTEP_ENGINE_TRAIN_LATE_SUMS_H_

#include <cstddef>
#include <functional>

#include "engine/tensor/device_memory.h"
#include "kernels/backend.h"
#include "kernels/softmax.h"

namespace lockstep {

// The sums of each batch stay in the device's memory until somebody asks for all: they are then
// added as if each had been asked for.
class LateSums {
 public:
  // The backend must outlive it.
  explicit LateSums(Backend& backend);

  // begin(sums) begins a batch that adds to *sums, zero before it and at the same place for all
  // batches. Waits where there is no room for another one's.
  void Add(const std::function<void(LossSums* sums)>& begin);
  // Of all batches since it was last called; waits for them.
  LossSums Take();

 private:
  static constexpr size_t kMost = 1024;
  struct Memory {
    LossSums current;
    LossSums kept[kMost];
  };
  Memory* memory() const { return static_cast<Memory*>(memory_.get()); }
  void Download();

  Backend& backend_;
  DeviceMemory memory_;
  size_t kept_ = 0;
  LossSums total_;  // of those that had to make room
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_LATE_SUMS_H_
