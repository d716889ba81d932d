// What must be the same on every rank that trains with others.
#ifndef LOCKSTEP_ENGINE_TRAIN_RANK_FACTS_H_
#define LOCKSTEP_ENGINE_TRAIN_RANK_FACTS_H_

#include <string>
#include <utility>
#include <vector>

#include "engine/train/rank_group.h"

namespace lockstep {

// Names and values, for people: {"the batch size", "64"}.
using RankFacts = std::vector<std::pair<std::string, std::string>>;

// Throws AgreedError (76) with each fact that is not the same on all ranks, or not there on some:
// its values and who has them. Every rank calls it; where there is but one, nothing is compared.
void RequireEqual(RankGroup& group, const RankFacts& facts);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_RANK_FACTS_H_
