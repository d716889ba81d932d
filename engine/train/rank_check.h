// Whether all ranks train the same, and still hold the same weights.
#ifndef LOCKSTEP_ENGINE_TRAIN_RANK_CHECK_H_
#define LOCKSTEP_ENGINE_TRAIN_RANK_CHECK_H_

#include <cstdint>

#include "engine/optim/schedule.h"
#include "engine/train/extension.h"
#include "engine/train/rank_facts.h"

namespace lockstep {

// What decides how a trainer goes on, but for what Network has compared and for what a source does
// not tell, as how it draws samples: the data, how the network is updated and for how long, and the
// weights that it has now, whose sums take some milliseconds where they are many. Running
// statistics are left out: they may be each rank's own, and decide no weight.
RankFacts StartFacts(Trainer& trainer, const Schedule& schedule);

// Ranks that apply the same gradients to the same weights never part, but for a fault of memory or
// processor. Every `every` steps CRC-32C sums of all trained arrays and of the optimizer's state
// are compared; where they differ, all ranks throw AgreedError (76) naming the array and the rank
// that most others contradict. Register it before whatever saves.
class RankCheck : public Extension {
 public:
  explicit RankCheck(int64_t every) : every_(every) {}
  std::string name() const override { return "rank-check"; }
  Trigger trigger() const override { return Trigger::Iterations(every_); }
  void Invoke(Trainer& trainer) override;

 private:
  int64_t every_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_RANK_CHECK_H_
