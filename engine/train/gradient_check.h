// Gradients that are not finite though the loss is.
#ifndef LOCKSTEP_ENGINE_TRAIN_GRADIENT_CHECK_H_
#define LOCKSTEP_ENGINE_TRAIN_GRADIENT_CHECK_H_

#include <string>

#include "engine/train/network.h"
#include "engine/train/rank_group.h"
#include "kernels/error.h"

namespace lockstep {

// What is wrong, and what to do; `where`: the step, and the epoch.
std::string BadGradientText(const std::string& parameter, const std::string& where);

// One of `rank`, which all ranks know of: they throw it together.
class BadGradientError : public AgreedError {
 public:
  BadGradientError(const std::string& parameter, int rank)
      : AgreedError(ExitCode::kBadData,
                    "rank " + std::to_string(rank) + ": " + BadGradientText(parameter, "")),
        parameter_(parameter),
        rank_(rank) {}
  const std::string& parameter() const { return parameter_; }
  int rank() const { return rank_; }

 private:
  std::string parameter_;
  int rank_;
};

// The first parameter whose gradient is not finite here; "" for none.
std::string BadGradient(const Network& network);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_GRADIENT_CHECK_H_
