// The seam between training and communication: engine declares it, comm implements it.
#ifndef LOCKSTEP_ENGINE_TRAIN_PARAM_SYNC_H_
#define LOCKSTEP_ENGINE_TRAIN_PARAM_SYNC_H_

#include "engine/plan/variables.h"
#include "kernels/softmax.h"

namespace lockstep {

// Makes the gradients and sums of one process those of the whole job.
class ParamSync {
 public:
  virtual ~ParamSync() = default;
  // Between the backward pass and the update. Adds up gradients and *sums over all ranks.
  virtual void Reduce(Variables& variables, LossSums* sums) = 0;
};

// One process: nothing to add.
class LocalSync : public ParamSync {
 public:
  void Reduce(Variables&, LossSums*) override {}
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_PARAM_SYNC_H_
