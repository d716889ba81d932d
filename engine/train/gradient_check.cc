#include "engine/train/gradient_check.h"

namespace lockstep {

std::string BadGradient(const Network& network) {
  for (const Variables::Entry& entry : network.variables().entries()) {
    if (!entry.trained) continue;
    if (network.backend().reduce().FirstNonFinite(entry.type.dtype, entry.type.shape.size(),
                                                  entry.gradient) >= 0) {
      return entry.name;
    }
  }
  return "";
}

}  // namespace lockstep
