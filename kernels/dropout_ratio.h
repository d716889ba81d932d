// What every device makes of a dropout's ratio: the same masks everywhere.
#ifndef LOCKSTEP_KERNELS_DROPOUT_RATIO_H_
#define LOCKSTEP_KERNELS_DROPOUT_RATIO_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>

#include "kernels/error.h"

namespace lockstep {

// An element is kept where its word is at least this. Throws ConfigError for a ratio outside [0,
// 1).
inline uint32_t DropoutThreshold(double ratio) {
  if (!(ratio >= 0 && ratio < 1)) {
    throw ConfigError("dropout ratio is " + std::to_string(ratio) + ", wanted 0 <= ratio < 1");
  }
  return static_cast<uint32_t>(std::min(std::nearbyint(ratio * 4294967296.0), 4294967295.0));
}

}  // namespace lockstep

#endif  // LOCKSTEP_KERNELS_DROPOUT_RATIO_H_
