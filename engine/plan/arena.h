// Memory that plans which never run at the same time share.
#ifndef LOCKSTEP_ENGINE_PLAN_ARENA_H_
#define LOCKSTEP_ENGINE_PLAN_ARENA_H_

#include <cstddef>
#include <cstdint>

#include "engine/tensor/device_memory.h"
#include "kernels/backend.h"

namespace lockstep {

// Grows to the largest request; growing moves the base and changes generation(), and what was in
// it is lost. What a plan computed is there until the next Claim. Not thread-safe. The backend must
// outlive it.
class Arena {
 public:
  explicit Arena(Backend& backend) : backend_(backend) {}

  void Reserve(size_t bytes) {
    if (bytes <= size_ && base_ != nullptr) return;
    Claim();
    base_.reset();
    base_ = AllocateOn(backend_, bytes, "activations");
    // Its pages are made by all threads at once. In a run, one thread's first touch of a page
    // would keep the others waiting at the end of each line.
    backend_.Clear(base_.get(), bytes);
    size_ = bytes;
    ++generation_;
  }
  // The memory is the caller's now: a number that no other claim has.
  uint64_t Claim() { return ++claim_; }
  uint64_t claim() const { return claim_; }
  void* base() const { return base_.get(); }
  size_t size() const { return size_; }
  int generation() const { return generation_; }

 private:
  Backend& backend_;
  DeviceMemory base_;
  size_t size_ = 0;
  int generation_ = 0;
  uint64_t claim_ = 0;
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_PLAN_ARENA_H_
