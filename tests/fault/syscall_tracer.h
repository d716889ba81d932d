// Kills a process, or makes its system calls fail, at a chosen call: a child that runs given code,
// or a process that runs already.
#ifndef LOCKSTEP_TESTS_FAULT_SYSCALL_TRACER_H_
#define LOCKSTEP_TESTS_FAULT_SYSCALL_TRACER_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>

namespace lockstep::testing {

struct Injection {
  enum class Kind { kNone, kKill, kFail, kShorten };
  Kind kind = Kind::kNone;
  int error = 0;  // of kFail
};

#if defined(__x86_64__)
inline constexpr bool kFailsCalls = true;
#else
inline constexpr bool kFailsCalls = false;
#endif

struct TraceResult {
  bool traced = false;    // false where ptrace is not allowed
  bool injected = false;  // the decision was something other than kNone at least once
  int calls = 0;          // system calls seen
  int status = 0;         // as waitpid gives it
};

// Runs `body` in a forked child, which exits with its result. `decide(index, number)` is asked
// before each system call, index from 1. kKill ends the child before the call is made; kFail makes
// the call return the error without being made; kShorten lets a write take one byte. The last two
// work where kFailsCalls.
TraceResult RunTraced(const std::function<int()>& body,
                      const std::function<Injection(int index, long number)>& decide);

// A call that a thread is about to make, and its first argument.
struct SystemCall {
  pid_t thread = 0;
  long number = 0;
  uint64_t argument = 0;

  // What that argument stands for where it is a descriptor; "" where it stands for nothing.
  std::string Path() const;
};

// The same for the main thread of a process of this user, until it ends, also when it becomes
// another program meanwhile. Its other threads run on, also while `decide` takes its time. Signals
// come behind the call.
TraceResult TraceRunning(pid_t process, const std::function<Injection(const SystemCall&)>& decide);

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_FAULT_SYSCALL_TRACER_H_
