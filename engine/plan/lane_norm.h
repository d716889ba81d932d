// How batch normalisation sees a batch that runs as lanes.
#ifndef LOCKSTEP_ENGINE_PLAN_LANE_NORM_H_
#define LOCKSTEP_ENGINE_PLAN_LANE_NORM_H_

#include <cstdint>

namespace lockstep {

// Which samples a batch's statistics are taken over when it runs as several lanes.
enum class LaneNorm : uint8_t {
  kSync,  // all of the batch, as if it were one
  kLane,  // each lane's own; running statistics still follow the whole batch
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_PLAN_LANE_NORM_H_
