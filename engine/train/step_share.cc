#include "engine/train/step_share.h"

#include <utility>

namespace lockstep {

AgreedStep ExchangeShares(RankGroup& group, const StepShare& mine, bool sums_are_whole) {
  std::vector<StepShare> shares = GatherValues(group, mine);
  AgreedStep step;
  bool cause_named = false;
  for (size_t rank = 0; rank < shares.size(); ++rank) {
    const StepShare& share = shares[rank];
    if (!sums_are_whole || rank == 0) step.sums += share.sums;
    step.used += share.used;
    step.bad_sums = step.bad_sums || share.bad_sums != 0;
    step.state_rows += share.state_rows;
    if (share.failed == 0) continue;
    if (step.failed_rank < 0 || (share.names_the_cause != 0 && !cause_named)) {
      step.failed_rank = static_cast<int>(rank);
      cause_named = share.names_the_cause != 0;
    }
  }
  step.shares = std::move(shares);
  return step;
}

}  // namespace lockstep
