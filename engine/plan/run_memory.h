// What a run and its lines tell each other, in memory that the device's kernels reach.
#ifndef LOCKSTEP_ENGINE_PLAN_RUN_MEMORY_H_
#define LOCKSTEP_ENGINE_PLAN_RUN_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/tensor/device_memory.h"
#include "kernels/backend.h"
#include "kernels/softmax.h"

namespace lockstep {

// Of one plan: places stay where they are from run to run. The backend must outlive it.
class RunMemory {
 public:
  // `rows` of a batch; `input_bytes` of each input, 0 of those that are not read.
  RunMemory(Backend& backend, int64_t rows, std::vector<int64_t> input_bytes);
  RunMemory(const RunMemory&) = delete;
  RunMemory& operator=(const RunMemory&) = delete;

  // Before a run: sums are zero. One transfer.
  void Begin(uint32_t epoch, const int64_t* ids);
  // Where lines read an input that lies there on the host.
  const void* PlaceOf(size_t input, const void* host) const;
  // Before each run, of every input that is read: brings what it holds now to its place.
  void Feed(size_t input, const void* host);

  const uint32_t* epoch() const { return epoch_; }
  const int64_t* ids() const { return ids_; }  // (rows,)
  LossSums* sums() const { return sums_; }
  // Of what has run since Begin; waits for it.
  LossSums TakeSums() const;

 private:
  // The beginning of the block; ids and inputs follow.
  struct Head {
    LossSums sums;
    uint32_t epoch = 0;
  };

  Backend& backend_;
  int64_t rows_;
  std::vector<int64_t> input_bytes_, input_offset_;
  DeviceMemory block_;  // null where the host's memory will do
  Head head_;
  std::vector<std::byte> begin_;  // of the block, as it is brought there
  const uint32_t* epoch_;
  const int64_t* ids_ = nullptr;
  LossSums* sums_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_PLAN_RUN_MEMORY_H_
