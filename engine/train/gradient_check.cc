#include "engine/train/gradient_check.h"

#include "engine/train/batch_cut.h"

namespace lockstep {

bool ShareOfSumsIsFinite(const Network& network) {
  const Variables& variables = network.variables();
  const RankGroup& group = network.group();
  const Range mine = PartOf(variables.flat_size(), group.rank(), group.size());
  const auto* gradients = static_cast<const char*>(variables.gradients());
  return network.backend().reduce().FirstNonFinite(
             variables.dtype(), mine.size(),
             gradients + static_cast<size_t>(mine.begin) * SizeOf(variables.dtype())) < 0;
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
