#include "engine/train/gradient_check.h"

namespace lockstep {

std::string BadGradientText(const std::string& parameter, const std::string& where) {
  return "the gradient of " + parameter + " is not finite" + (where.empty() ? "" : " " + where) +
         " though loss, data and weights are: training diverged; lower the learning rate";
}

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
