// Asking a running program to stop.
#ifndef LOCKSTEP_TOOLS_SIGNALS_H_
#define LOCKSTEP_TOOLS_SIGNALS_H_

#include <signal.h>

#include <array>
#include <chrono>
#include <optional>
#include <string>

namespace lockstep::tools {

// "SIGTERM".
std::string SignalName(int signal);

// While one lives, SIGPIPE and SIGXFSZ are ignored, so that closed readers and file size limits
// become ordinary errors of write(); and once Catch() was called, the first SIGTERM, SIGINT,
// SIGHUP, SIGXCPU (ulimit -St) or SIGUSR1 (Slurm's --signal) only raises a flag that the program
// polls, and a second one ends the process at once with exit code 75, nothing saved. The first
// signal again within kRepeat is no second one: timeout(1) signals its child and then the child's
// group. Nor is one of LaunchRanks' mpirun within it, which passes on what may have come to all,
// nor any SIGXCPU: the kernel repeats it every second up to the hard limit. All but a SIGTERM that
// were ignored at the start (nohup, a shell's background job) stay ignored. Owned by main; at most
// one at a time. Its questions may be asked from any thread.
class StopSignals {
 public:
  struct Stop {
    int signal;
    std::chrono::steady_clock::time_point when;
  };
  static constexpr std::chrono::milliseconds kRepeat{200};
  static constexpr const char* kNothingToSave =
      "stopped before the first step: there is nothing to save; run again";
  static constexpr const char* kGraceOver =
      "not saved within the --grace that a signal to stop leaves; what was saved before is whole: "
      "run again to resume";

  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  void Catch();
  // So long after the first signal, also where that has come already, SIGALRM ends the process as a
  // second one would, with kGraceOver; at least a second.
  void SetGrace(std::chrono::seconds grace) noexcept;
  // All is saved: there is as much time as there is from now on.
  void EndGrace() noexcept;
  // For processes that a launcher has started: its end is a SIGTERM. One that is killed itself does
  // not end them, and nobody would see what they print.
  void FollowParent() const;
  // For the processes of a job to which another passes on its signals as SIGUSR1: it says that they
  // end, once, and this one ends by it without a word.
  void LetAnotherSpeak() noexcept;
  // Whether that has happened.
  bool another_speaks() const noexcept;
  bool requested() const noexcept;
  // The first signal and when it came, on the monotonic clock.
  std::optional<Stop> stop() const noexcept;

  // While one lives, there is nothing yet that a stop could save: the first signal ends the process
  // at once with kNothingToSave and exit code 75, whatever it is busy with. The constructor throws
  // Error with these where that signal has come already.
  class NothingToSave {
   public:
    explicit NothingToSave(const StopSignals& signals);
    ~NothingToSave();
    NothingToSave(const NothingToSave&) = delete;
    NothingToSave& operator=(const NothingToSave&) = delete;
  };

  // While one lives, act(argument) is what a signal does last where it ends the process at once:
  // async-signal-safe calls only. At most one at a time.
  class LastAct {
   public:
    LastAct(void (*act)(const void*), const void* argument) noexcept;
    ~LastAct();
    LastAct(const LastAct&) = delete;
    LastAct& operator=(const LastAct&) = delete;
  };

 private:
  static constexpr std::array<int, 5> kStopping = {SIGTERM, SIGINT, SIGHUP, SIGXCPU, SIGUSR1};
  static constexpr std::array<int, 2> kIgnored = {SIGPIPE, SIGXFSZ};

  static int ParentEnded() { return SIGRTMIN; }

  std::array<struct sigaction, kStopping.size() + kIgnored.size()> before_;
  struct sigaction alarm_before_ {};
};

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_SIGNALS_H_
