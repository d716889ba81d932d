// Work that a device is given again and again.
#ifndef LOCKSTEP_ENGINE_PLAN_REPEATED_WORK_H_
#define LOCKSTEP_ENGINE_PLAN_REPEATED_WORK_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "kernels/backend.h"
#include "kernels/softmax.h"

namespace lockstep {

// The first time work is begun plainly, since what has run asks for no memory again; the second
// time the device records it, where it can, and from then on it is told to repeat it.
class RepeatedWork {
 public:
  // What of the work is not read from the device's memory, but may change: of other work nothing is
  // repeated.
  struct Key {
    int generation = -1;       // of the arena
    int64_t preparations = 0;  // that the plan's inputs have been given so far
    uint64_t seed = 0;
    const LossSums* sums = nullptr;
    friend bool operator==(const Key&, const Key&) = default;
  };

  // Begins what `body` begins. See Backend::Record for what body may do.
  void Begin(Backend& backend, const Key& key, const std::function<void()>& body) {
    if (impossible_ || !(key == key_)) {
      key_ = key;
      recording_ = nullptr;
      return body();
    }
    if (!recording_) recording_ = backend.Record(body);
    impossible_ = !recording_;
    if (impossible_) return body();
    recording_->Begin();
  }

 private:
  Key key_;
  bool impossible_ = false;
  std::unique_ptr<Recording> recording_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_PLAN_REPEATED_WORK_H_
