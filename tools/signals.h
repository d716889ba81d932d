// Asking a running program to stop.
#ifndef LOCKSTEP_TOOLS_SIGNALS_H_
#define LOCKSTEP_TOOLS_SIGNALS_H_

#include <signal.h>

#include <array>
#include <chrono>
#include <optional>

namespace lockstep::tools {

// While one lives, the first SIGTERM, SIGINT or SIGHUP only raises a flag that the program polls,
// and the second ends the process at once with exit code 75, nothing saved. SIGPIPE and SIGXFSZ
// are ignored, so that closed readers and file size limits become ordinary errors of write().
// A SIGINT or SIGHUP that was ignored at the start (nohup, a shell's background job) stays ignored.
// Owned by main; at most one at a time. Its questions may be asked from any thread.
class StopSignals {
 public:
  struct Stop {
    int signal;
    std::chrono::steady_clock::time_point when;
  };

  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  bool requested() const noexcept;
  // The first signal and when it came, on the monotonic clock.
  std::optional<Stop> stop() const noexcept;

 private:
  static constexpr std::array<int, 3> kStopping = {SIGTERM, SIGINT, SIGHUP};
  static constexpr std::array<int, 2> kIgnored = {SIGPIPE, SIGXFSZ};

  std::array<struct sigaction, kStopping.size() + kIgnored.size()> before_;
};

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_SIGNALS_H_
