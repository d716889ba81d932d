#include "comm/comm_progress.h"

#include <algorithm>
#include <cstring>

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch())
      .count();
}

}  // namespace

// Boehm, "Can seqlocks get along with programming language memory models?" (MSPC 2012): data are
// atomics of their own. Their stores release `version_`'s odd value, their loads acquire, so that
// no fence is needed; on x86 both are plain moves.
void ProgressBoard::BeginWrite() { version_.store(version_.load(std::memory_order_relaxed) + 1); }

void ProgressBoard::EndWrite() {
  version_.store(version_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

void ProgressBoard::Enter(std::string_view name) {
  std::array<uint64_t, kWords> words{};
  std::memcpy(words.data(), name.data(), std::min(name.size(), sizeof words));
  BeginWrite();
  for (size_t i = 0; i < kWords; ++i) name_[i].store(words[i], std::memory_order_release);
  number_.store(number_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  since_ns_.store(NowNs(), std::memory_order_release);
  state_.store(CommProgress::State::kInside, std::memory_order_release);
  EndWrite();
}

void ProgressBoard::Finish() {
  BeginWrite();
  since_ns_.store(NowNs(), std::memory_order_release);
  state_.store(CommProgress::State::kFinished, std::memory_order_release);
  EndWrite();
}

CommProgress ProgressBoard::Read() const {
  for (;;) {
    const uint64_t before = version_.load(std::memory_order_acquire);
    if (before % 2 != 0) continue;
    std::array<uint64_t, kWords> words{};
    for (size_t i = 0; i < kWords; ++i) words[i] = name_[i].load(std::memory_order_acquire);
    CommProgress progress;
    progress.number = number_.load(std::memory_order_acquire);
    progress.state = state_.load(std::memory_order_acquire);
    progress.since =
        Clock::time_point(std::chrono::nanoseconds(since_ns_.load(std::memory_order_acquire)));
    if (version_.load(std::memory_order_relaxed) != before) continue;
    std::array<char, CommProgress::kNameBytes> name{};
    std::memcpy(name.data(), words.data(), name.size());
    progress.name.assign(name.data(), ::strnlen(name.data(), name.size()));
    return progress;
  }
}

}  // namespace lockstep
