#include "tools/signals.h"

#include <time.h>
#include <unistd.h>

#include <atomic>
#include <string_view>

#include "kernels/error.h"

namespace lockstep::tools {
namespace {

// A handler reaches nothing but globals. Lock-free atomics are what it may touch
// (C++20 [support.signal]); `received` is set last, so who sees it sees the time.
std::atomic<bool> owned{false};
std::atomic<int> received{0};
std::atomic<int64_t> received_ns{0};
std::atomic<bool> taken{false};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<int64_t>::is_always_lock_free);

// Async-signal-safe calls only (signal-safety(7)): clock_gettime, write, _exit.
extern "C" void OnStopSignal(int signal) {
  if (taken.exchange(true)) {
    constexpr std::string_view kNote =
        "second signal: leaving at once, nothing saved; run again to resume\n";
    [[maybe_unused]] const ssize_t wrote = ::write(STDERR_FILENO, kNote.data(), kNote.size());
    ::_exit(static_cast<int>(ExitCode::kNotSaved));
  }
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);  // what libstdc++'s steady_clock reads
  received_ns.store(int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec);
  received.store(signal);
}

}  // namespace

StopSignals::StopSignals() {
  if (owned.exchange(true)) throw Error(ExitCode::kBug, "a second StopSignals in one process");
  received = 0;
  taken = false;
  size_t at = 0;
  for (const int signal : kStopping) {
    struct sigaction& before = before_[at++];
    ::sigaction(signal, nullptr, &before);
    if (signal != SIGTERM && before.sa_handler == SIG_IGN) continue;
    struct sigaction action {};
    action.sa_handler = OnStopSignal;
    action.sa_flags = SA_RESTART;
    ::sigemptyset(&action.sa_mask);
    ::sigaction(signal, &action, nullptr);
  }
  for (const int signal : kIgnored) {
    struct sigaction action {};
    action.sa_handler = SIG_IGN;
    ::sigaction(signal, &action, &before_[at++]);
  }
}

StopSignals::~StopSignals() {
  size_t at = 0;
  for (const int signal : kStopping) ::sigaction(signal, &before_[at++], nullptr);
  for (const int signal : kIgnored) ::sigaction(signal, &before_[at++], nullptr);
  owned = false;
}

bool StopSignals::requested() const noexcept { return received.load() != 0; }

std::optional<StopSignals::Stop> StopSignals::stop() const noexcept {
  const int signal = received.load();
  if (signal == 0) return std::nullopt;
  using std::chrono::steady_clock;
  return Stop{signal, steady_clock::time_point(std::chrono::nanoseconds(received_ns.load()))};
}

}  // namespace lockstep::tools
