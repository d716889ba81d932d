// The clock that everything is timed with.
#ifndef LOCKSTEP_ENGINE_TRAIN_SECONDS_H_
#define LOCKSTEP_ENGINE_TRAIN_SECONDS_H_

#include <chrono>

namespace lockstep {

// Of a monotonic clock that starts anywhere.
inline double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

inline double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_SECONDS_H_
