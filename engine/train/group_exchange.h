// Joins of lanes (engine/plan/join.h) over the ranks of a group.
#ifndef LOCKSTEP_ENGINE_TRAIN_GROUP_EXCHANGE_H_
#define LOCKSTEP_ENGINE_TRAIN_GROUP_EXCHANGE_H_

#include <vector>

#include "engine/plan/join.h"
#include "engine/train/rank_group.h"

namespace lockstep {

// Lanes are numbered through the ranks in their order. A rank may have none, or fewer than others.
class GroupExchange : public LaneExchange {
 public:
  // `most_lanes`: of any one rank. The group must outlive this.
  explicit GroupExchange(RankGroup& group, size_t most_lanes = 1)
      : group_(group), most_(most_lanes) {}

  std::span<const double> Exchange(std::span<const double> mine, int64_t size) override;
  // Of the last Exchange.
  size_t first_lane() const override { return first_; }

 private:
  RankGroup& group_;
  size_t most_;
  size_t first_ = 0;
  std::vector<double> sent_, received_, all_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_GROUP_EXCHANGE_H_
