// What one rank adds to a step, and what the step then is.
#ifndef LOCKSTEP_ENGINE_TRAIN_STEP_SHARE_H_
#define LOCKSTEP_ENGINE_TRAIN_STEP_SHARE_H_

#include <cstdint>
#include <vector>

#include "engine/train/ledger.h"
#include "engine/train/rank_group.h"
#include "engine/train/step_times.h"
#include "kernels/softmax.h"

namespace lockstep {

// Travels as its bytes: ranks run the same program.
struct StepShare {
  LossSums sums = {};
  Ledger used = {};             // the samples of this rank's part
  int64_t state_rows = 0;       // samples that the running statistics followed
  TimeShare times = {};         // zeros where nobody measures
  uint8_t bad_sums = 0;         // its share of the summed gradients is not finite
  uint8_t failed = 0;           // this rank has met an error,
  uint8_t names_the_cause = 0;  // that says more than what the others see of it
};

struct AgreedStep {
  LossSums sums = {};
  Ledger used = {};
  int64_t state_rows = 0;
  bool bad_sums = false;               // the summed gradients are not finite
  int failed_rank = -1;                // whose error to tell; -1: none
  std::vector<StepShare> shares = {};  // of all ranks
};

// `sums_are_whole`: every rank's sums are those of the job already.
AgreedStep ExchangeShares(RankGroup& group, const StepShare& mine, bool sums_are_whole);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_STEP_SHARE_H_
