#include "tests/fault/syscall_tracer.h"

#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

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

}  // namespace

TraceResult RunTraced(const std::function<int()>& body,
                      const std::function<Injection(int index, long number)>& decide) {
  TraceResult result;
  const pid_t child = StartStopped(body);
  ::waitpid(child, &result.status, 0);
  if (!WIFSTOPPED(result.status)) return result;
  result.traced = true;
  ::ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
  Registers registers(child);
  int forced_error = 0;
  for (int signal = 0;;) {
    ::ptrace(PTRACE_SYSCALL, child, nullptr, signal);
    ::waitpid(child, &result.status, 0);
    if (!WIFSTOPPED(result.status)) return result;
    signal = WSTOPSIG(result.status);
    if (signal != (SIGTRAP | 0x80)) continue;
    signal = 0;
    __ptrace_syscall_info info{};
    ::ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof(info), &info);
    if (info.op == PTRACE_SYSCALL_INFO_EXIT) {
      if (forced_error != 0) registers.SetResult(-forced_error);
      forced_error = 0;
      continue;
    }
    const Injection injection = decide(++result.calls, static_cast<long>(info.entry.nr));
    result.injected |= injection.kind != Injection::Kind::kNone;
    if (injection.kind == Injection::Kind::kKill) ::kill(child, SIGKILL);
    if (injection.kind == Injection::Kind::kShorten) registers.SetLength(1);
    if (injection.kind != Injection::Kind::kFail) continue;
    registers.SkipCall();
    forced_error = injection.error;
  }
}

}  // namespace lockstep::testing
