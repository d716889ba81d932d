// What a normalisation may have fused behind it, the same on every device.
#ifndef LOCKSTEP_KERNELS_NORM_FUSION_H_
#define LOCKSTEP_KERNELS_NORM_FUSION_H_

#include "kernels/error.h"
#include "kernels/norm.h"

namespace lockstep {

inline bool IsFused(const BatchNormShape& s) {
  return s.activation == Activation::kRelu || s.dropout.ratio > 0;
}

inline void CheckFusion(const BatchNormShape& s) {
  const bool relu = s.activation == Activation::kRelu;
  if (relu || (s.activation == Activation::kIdentity && s.dropout.ratio == 0)) return;
  throw Error(ExitCode::kBug,
              "batch normalisation fuses ReLU, with or without a dropout behind it, "
              "and nothing else");
}

}  // namespace lockstep

#endif  // LOCKSTEP_KERNELS_NORM_FUSION_H_
