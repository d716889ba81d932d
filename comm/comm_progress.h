// What a rank's collectives are about, for whoever has to say where a job hangs.
#ifndef LOCKSTEP_COMM_COMM_PROGRESS_H_
#define LOCKSTEP_COMM_COMM_PROGRESS_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace lockstep {

// The newest collective of one rank. All ranks count alike: the one with the same number is the
// same collective everywhere.
struct CommProgress {
  enum class State : uint8_t { kNone, kInside, kFinished };
  static constexpr size_t kNameBytes = 32;  // longer names are cut

  uint64_t number = 0;  // from 1
  std::string name;     // "gradients 3"
  State state = State::kNone;
  std::chrono::steady_clock::time_point since;  // when it got into this state
};

// One thread writes, any thread reads, nobody waits: some ten stores to enter a collective.
class ProgressBoard {
 public:
  void Enter(std::string_view name);
  void Finish();
  CommProgress Read() const;

 private:
  static constexpr size_t kWords = CommProgress::kNameBytes / sizeof(uint64_t);

  // A sequence lock: odd while it is written, another value afterwards.
  void BeginWrite();
  void EndWrite();

  std::atomic<uint64_t> version_{0};
  std::atomic<uint64_t> number_{0};
  std::atomic<int64_t> since_ns_{0};
  std::atomic<CommProgress::State> state_{CommProgress::State::kNone};
  std::array<std::atomic<uint64_t>, kWords> name_{};
};

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_COMM_PROGRESS_H_
