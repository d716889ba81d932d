#include "tests/fault/syscall_tracer.h"

#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>

namespace lockstep::testing {
namespace {

// What a call in progress must return instead of its own result; 0 for its own.
class Registers {
 public:
  explicit Registers(pid_t child) : child_(child) {}

#if defined(__x86_64__)
  void SkipCall() {
    Change([](user_regs_struct* r) { r->orig_rax = ~0ULL; });
  }
  void SetResult(long result) {
    Change([result](user_regs_struct* r) { r->rax = static_cast<unsigned long long>(result); });
  }
  void SetLength(unsigned long long length) {
    Change([length](user_regs_struct* r) { r->rdx = length; });
  }
#else
  void SkipCall() { std::abort(); }
  void SetResult(long) { std::abort(); }
  void SetLength(unsigned long long) { std::abort(); }
#endif

 private:
  template <typename F>
  void Change(F change) {
    user_regs_struct registers{};
    ::ptrace(PTRACE_GETREGS, child_, nullptr, &registers);
    change(&registers);
    ::ptrace(PTRACE_SETREGS, child_, nullptr, &registers);
  }

  pid_t child_;
};

pid_t StartStopped(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(0);
  ::raise(SIGSTOP);
  ::_exit(body());
}

// From a stop of the thread to its end.
void Follow(pid_t thread, const std::function<Injection(const SystemCall&)>& decide,
            TraceResult* result) {
  Registers registers(thread);
  int forced_error = 0;
  for (int signal = 0;;) {
    ::ptrace(PTRACE_SYSCALL, thread, nullptr, signal);
    if (::waitpid(thread, &result->status, __WALL) != thread) return;
    if (!WIFSTOPPED(result->status)) return;
    signal = WSTOPSIG(result->status);
    if (result->status >> 16 != 0) signal = 0;  // ptrace's own
    if (signal != (SIGTRAP | 0x80)) continue;
    signal = 0;
    __ptrace_syscall_info info{};
    ::ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof(info), &info);
    if (info.op == PTRACE_SYSCALL_INFO_EXIT) {
      if (forced_error != 0) registers.SetResult(-forced_error);
      forced_error = 0;
      continue;
    }
    ++result->calls;
    const Injection injection =
        decide({thread, static_cast<long>(info.entry.nr), info.entry.args[0]});
    result->injected |= injection.kind != Injection::Kind::kNone;
    if (injection.kind == Injection::Kind::kKill) ::kill(thread, SIGKILL);
    if (injection.kind == Injection::Kind::kShorten) registers.SetLength(1);
    if (injection.kind != Injection::Kind::kFail) continue;
    registers.SkipCall();
    forced_error = injection.error;
  }
}

}  // namespace

std::string SystemCall::Path() const {
  std::array<char, 4096> path{};
  const std::string link =
      "/proc/" + std::to_string(thread) + "/fd/" + std::to_string(static_cast<int>(argument));
  const ssize_t size = ::readlink(link.c_str(), path.data(), path.size());
  return size < 0 ? "" : std::string(path.data(), static_cast<size_t>(size));
}

TraceResult RunTraced(const std::function<int()>& body,
                      const std::function<Injection(int index, long number)>& decide) {
  TraceResult result;
  const pid_t child = StartStopped(body);
  ::waitpid(child, &result.status, 0);
  if (!WIFSTOPPED(result.status)) return result;
  result.traced = true;
  ::ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
  Follow(
      child, [&](const SystemCall& call) { return decide(result.calls, call.number); }, &result);
  return result;
}

TraceResult TraceRunning(pid_t process, const std::function<Injection(const SystemCall&)>& decide) {
  TraceResult result;
  if (::ptrace(PTRACE_SEIZE, process, nullptr, PTRACE_O_TRACESYSGOOD) != 0) return result;
  result.traced = true;
  ::ptrace(PTRACE_INTERRUPT, process, nullptr, nullptr);
  ::waitpid(process, &result.status, __WALL);
  if (WIFSTOPPED(result.status)) Follow(process, decide, &result);
  return result;
}

}  // namespace lockstep::testing
