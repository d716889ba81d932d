// What a failed program tells: to stderr and, the same, to the platform's failure file.
#ifndef LOCKSTEP_TOOLS_FAILURE_H_
#define LOCKSTEP_TOOLS_FAILURE_H_

#include <exception>
#include <string>

#include "engine/train/failure.h"
#include "kernels/error.h"

namespace lockstep::tools {

// Of the machine, not of the job: run again, it may be gone.
inline bool IsTrouble(ExitCode code) {
  return code == ExitCode::kIo || code == ExitCode::kCannotCreate ||
         code == ExitCode::kNoPermission || code == ExitCode::kNoResources;
}

// The first of several failures. What is tried after it is still done.
class FirstFailure {
 public:
  // What this one failed of; "" where it did not fail.
  template <typename Action>
  std::string Try(const Action& action) {
    try {
      action();
      return "";
    } catch (...) {
      if (!first_) first_ = std::current_exception();
      return DescribeFailure(std::current_exception()).text;
    }
  }
  // Nothing where nothing failed.
  void Throw() const {
    if (first_) std::rethrow_exception(first_);
  }

 private:
  std::exception_ptr first_;
};

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_FAILURE_H_
