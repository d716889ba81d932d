#include "tools/precision.h"

#include "kernels/error.h"

namespace lockstep::tools {

std::optional<DType> ComputeDTypeOf(const std::string& dtype) {
  for (const DType half : {DType::kFloat16, DType::kBfloat16}) {
    if (dtype == Name(half)) return half;
  }
  return std::nullopt;
}

bool ScalesLoss(const std::string& dtype) { return ComputeDTypeOf(dtype) == DType::kFloat16; }

void RequireUsable(const PrecisionChoice& choice) {
  const bool scales = ScalesLoss(choice.dtype);
  if (scales && choice.reproducible) {
    throw ConfigError(
        "--dtype float16 is of the fast mode: what overflows in it depends on how a batch is cut, "
        "which the reproducible mode promises nothing does; use bfloat16");
  }
  if (scales && choice.double_buffering) {
    throw ConfigError(
        "--double-buffering uses gradients a step late, by when the loss scale of --dtype float16 "
        "may be another; use bfloat16");
  }
  if (scales && choice.error_feedback) {
    throw ConfigError(
        "--error-feedback adds to a gradient what --wire took from the one before, by when the "
        "loss scale of --dtype float16 may be another; leave it out, or use bfloat16");
  }
  if (choice.allow_tf32 && choice.dtype != "float32") {
    throw ConfigError("--allow-tf32 is about products of float32, and --dtype is " + choice.dtype);
  }
}

}  // namespace lockstep::tools
