// Runs code in a child process and kills it, or makes its system calls fail, at a chosen call.
#ifndef LOCKSTEP_TESTS_FAULT_SYSCALL_TRACER_H_
#define LOCKSTEP_TESTS_FAULT_SYSCALL_TRACER_H_

#include <functional>

namespace lockstep::testing {

struct Injection {
  enum class Kind { kNone, kKill, kFail, kShorten };
  Kind kind = Kind::kNone;
  int error = 0;  // of kFail
};

struct TraceResult {
  bool traced = false;    // false where ptrace is not allowed
  bool injected = false;  // the decision was something other than kNone at least once
  int calls = 0;          // system calls seen
  int status = 0;         // as waitpid gives it
};

// Runs `body` in a forked child, which exits with its result. `decide(index, number)` is asked
// before each system call, index from 1. kKill ends the child before the call is made; kFail makes
// the call return the error without being made; kShorten lets a write take one byte. The last two
// work on x86-64 only.
TraceResult RunTraced(const std::function<int()>& body,
                      const std::function<Injection(int index, long number)>& decide);

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_FAULT_SYSCALL_TRACER_H_
