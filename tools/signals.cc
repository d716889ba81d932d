#include "tools/signals.h"

#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
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
std::atomic<bool> nothing_to_save{false};
std::atomic<int> silent_for{0};  // this signal; 0: none
std::atomic<void (*)(const void*)> last_act{nullptr};
std::atomic<const void*> last_argument{nullptr};
std::atomic<pid_t> parent{0};
std::atomic<unsigned> grace_seconds{0};  // 0: none
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<int64_t>::is_always_lock_free);

// Async-signal-safe calls only (signal-safety(7)): alarm, clock_gettime, getppid, write, _exit.
int64_t Now() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);  // what libstdc++'s steady_clock reads
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

void Print(std::string_view text) {
  [[maybe_unused]] const ssize_t wrote = ::write(STDERR_FILENO, text.data(), text.size());
}

void PrintLine(std::string_view text) {
  Print("lockstep: ");
  Print(text);
  Print("\n");
}

[[noreturn]] void Leave() {
  if (const auto act = last_act.load()) act(last_argument.load());
  ::_exit(static_cast<int>(ExitCode::kNotSaved));
}

// Where another process speaks, mpirun is our launcher's. It passes signals on, and ends the
// processes of a job with SIGTERM.
bool IsOfTheLauncher(const siginfo_t* info) {
  return silent_for != 0 && info != nullptr && info->si_pid == ::getppid();
}

extern "C" void OnStopSignal(int signal, siginfo_t* info, void*) {
  const int64_t now = Now();
  int64_t first_ns = 0;
  if (received_ns.compare_exchange_strong(first_ns, now)) {
    if (nothing_to_save) {
      if (signal != silent_for && !(signal == SIGTERM && IsOfTheLauncher(info))) {
        PrintLine(StopSignals::kNothingToSave);
      }
      Leave();
    }
    received.store(signal);
    ::alarm(grace_seconds);
    return;
  }
  if (signal == SIGXCPU) return;
  // 0: another thread is about to store it, so it came just now.
  const int first = received.load();
  const bool same = first == 0 || first == signal || IsOfTheLauncher(info);
  constexpr std::chrono::nanoseconds kRepeat = StopSignals::kRepeat;
  if (same && now - first_ns < kRepeat.count()) return;
  if (first == 0 || first != silent_for) {
    Print("second signal: leaving at once, nothing saved; run again to resume\n");
  }
  Leave();
}

extern "C" void OnGraceEnd(int) {
  if (received.load() == 0) return;  // not ours
  if (received.load() != silent_for) PrintLine(StopSignals::kGraceOver);
  Leave();
}

// The kernel sends this one when the thread ends that forked this process, which may be one of many
// (PR_SET_PDEATHSIG(2const)); a process whose parent has ended has another.
extern "C" void OnParentEnd(int) {
  if (::getppid() != parent.load()) OnStopSignal(SIGTERM, nullptr, nullptr);
}

void Ignore(int signal, struct sigaction* before) {
  struct sigaction action {};
  action.sa_handler = SIG_IGN;
  ::sigaction(signal, &action, before);
}

}  // namespace

std::string SignalName(int signal) {
  const char* const name = ::sigabbrev_np(signal);
  return name == nullptr ? "signal " + std::to_string(signal) : std::string("SIG") + name;
}

StopSignals::StopSignals() {
  if (owned.exchange(true)) throw Error(ExitCode::kBug, "a second StopSignals in one process");
  received = 0;
  received_ns = 0;
  silent_for = 0;
  grace_seconds = 0;
  ::sigaction(SIGALRM, nullptr, &alarm_before_);
  size_t at = 0;
  for (const int signal : kStopping) ::sigaction(signal, nullptr, &before_[at++]);
  for (const int signal : kIgnored) Ignore(signal, &before_[at++]);
}

void StopSignals::Catch() {
  for (size_t i = 0; i < kStopping.size(); ++i) {
    if (kStopping[i] != SIGTERM && before_[i].sa_handler == SIG_IGN) continue;
    struct sigaction action {};
    action.sa_sigaction = OnStopSignal;
    action.sa_flags = SA_RESTART | SA_SIGINFO;
    ::sigemptyset(&action.sa_mask);
    ::sigaction(kStopping[i], &action, nullptr);
  }
}

void StopSignals::SetGrace(std::chrono::seconds grace) noexcept {
  struct sigaction action {};
  action.sa_handler = OnGraceEnd;
  action.sa_flags = SA_RESTART;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGALRM, &action, nullptr);
  grace_seconds = static_cast<unsigned>(grace.count());
  if (!requested()) return;
  const int64_t passed = (Now() - received_ns.load()) / 1'000'000'000;
  ::alarm(static_cast<unsigned>(std::max<int64_t>(grace.count() - passed, 1)));
}

void StopSignals::EndGrace() noexcept {
  grace_seconds = 0;
  ::alarm(0);
}

void StopSignals::FollowParent() const {
  parent = ::getppid();
  struct sigaction action {};
  action.sa_handler = OnParentEnd;
  action.sa_flags = SA_RESTART;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(ParentEnded(), &action, nullptr);
  ::prctl(PR_SET_PDEATHSIG, ParentEnded());
  // It may have ended before that.
  OnParentEnd(ParentEnded());
}

void StopSignals::LetAnotherSpeak() noexcept { silent_for = SIGUSR1; }

bool StopSignals::another_speaks() const noexcept {
  return requested() && received.load() == silent_for.load();
}

StopSignals::~StopSignals() {
  ::prctl(PR_SET_PDEATHSIG, 0);
  ::alarm(0);
  ::sigaction(SIGALRM, &alarm_before_, nullptr);
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

StopSignals::NothingToSave::NothingToSave(const StopSignals& signals) {
  nothing_to_save = true;
  if (!signals.requested()) return;
  nothing_to_save = false;
  throw Error(ExitCode::kNotSaved, kNothingToSave);
}

StopSignals::NothingToSave::~NothingToSave() { nothing_to_save = false; }

StopSignals::LastAct::LastAct(void (*act)(const void*), const void* argument) noexcept {
  last_argument = argument;
  last_act = act;
}

StopSignals::LastAct::~LastAct() { last_act = nullptr; }

}  // namespace lockstep::tools
