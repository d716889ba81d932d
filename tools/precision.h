// What --dtype says, and what does not go with it.
#ifndef LOCKSTEP_TOOLS_PRECISION_H_
#define LOCKSTEP_TOOLS_PRECISION_H_

#include <optional>
#include <string>

#include "kernels/dtype.h"

namespace lockstep::tools {

// NetworkOptions::compute_dtype: float16 or bfloat16; none for other values of --dtype.
std::optional<DType> ComputeDTypeOf(const std::string& dtype);

// Whether gradients are those of the loss times a scale that changes: of float16 alone.
bool ScalesLoss(const std::string& dtype);

struct PrecisionChoice {
  std::string dtype = "float32";
  bool allow_tf32 = false;
  bool reproducible = false;  // or with lanes
  bool double_buffering = false;
  bool error_feedback = false;  // asked for, on a wire of 16 bits
};
// ConfigError for what does not go together.
void RequireUsable(const PrecisionChoice& choice);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_PRECISION_H_
