// Data of which every host has another part.
#ifndef LOCKSTEP_TOOLS_SHARE_OUT_H_
#define LOCKSTEP_TOOLS_SHARE_OUT_H_

#include "data/dataset.h"
#include "data/shards.h"
#include "engine/train/rank_group.h"

namespace lockstep::tools {

// Ranks that have loaded the same rows, as those of one host do, share them; all others have parts
// of their own. What a rank has loaded becomes its part. Collective. Throws AgreedError: 65 where
// ranks that share have fewer rows than they are.
Shards ShareOut(RankGroup& group, Dataset* loaded);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_SHARE_OUT_H_
