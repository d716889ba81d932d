// The seam between training and communication: engine declares it, comm implements it.
#ifndef LOCKSTEP_ENGINE_TRAIN_PARAM_SYNC_H_
#define LOCKSTEP_ENGINE_TRAIN_PARAM_SYNC_H_

#include <cstdint>

#include "engine/plan/variables.h"
#include "engine/train/rank_group.h"

namespace lockstep {

// Makes the gradients of one process those of the whole job. Every rank takes part in every step,
// also with a part of the batch that is empty or has failed.
class ParamSync {
 public:
  virtual ~ParamSync() = default;
  // Who trains together.
  virtual RankGroup& group() = 0;

  // While the backward pass runs: elements [0, end) of the flat gradients are final here.
  virtual void Ready(Variables& variables, int64_t end) = 0;
  // After it: returns when all gradients are the sums over all ranks.
  virtual void FinishGradients(Variables& variables) = 0;
  // After a step in which this rank's running statistics followed `mine` of `all` samples: they
  // become the mean over ranks, weighted by samples.
  virtual void AverageStates(Variables& variables, int64_t mine, int64_t all) = 0;
};

// One process: nothing to add.
class LocalSync : public ParamSync {
 public:
  RankGroup& group() override { return group_; }
  void Ready(Variables&, int64_t) override {}
  void FinishGradients(Variables&) override {}
  void AverageStates(Variables&, int64_t, int64_t) override {}

 private:
  OneRank group_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_PARAM_SYNC_H_
