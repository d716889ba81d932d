// What something that was thrown means to a user.
#ifndef LOCKSTEP_ENGINE_TRAIN_FAILURE_H_
#define LOCKSTEP_ENGINE_TRAIN_FAILURE_H_

#include <exception>
#include <string>

#include "kernels/error.h"

namespace lockstep {

struct Failure {
  std::string text = {};
  ExitCode code = ExitCode::kBug;
};

// Of an Error its own text and code; 71 without memory or threads; 70, "internal error", for
// whatever else was thrown.
Failure DescribeFailure(const std::exception_ptr& thrown);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_FAILURE_H_
