// Memory that plans which never run at the same time share.
#ifndef LOCKSTEP_ENGINE_PLAN_ARENA_H_
#define LOCKSTEP_ENGINE_PLAN_ARENA_H_

#include <cstddef>

#include "kernels/backend.h"

namespace lockstep {

// Grows to the largest request; growing moves the base and changes generation(), and what was in
// it is lost. Not thread-safe. The backend must outlive it.
class Arena {
 public:
  explicit Arena(Backend& backend) : backend_(backend) {}
  ~Arena() { Release(); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  void Reserve(size_t bytes) {
    if (bytes <= size_ && base_ != nullptr) return;
    Release();
    base_ = backend_.Allocate(bytes, "activations");
    size_ = bytes;
    ++generation_;
  }
  void* base() const { return base_; }
  size_t size() const { return size_; }
  int generation() const { return generation_; }

 private:
  void Release() {
    if (base_ != nullptr) backend_.Free(base_);
    base_ = nullptr;
  }

  Backend& backend_;
  void* base_ = nullptr;
  size_t size_ = 0;
  int generation_ = 0;
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_PLAN_ARENA_H_
