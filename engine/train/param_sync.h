// The seam between training and communication: engine declares it, comm implements it.
#ifndef LOCKSTEP_ENGINE_TRAIN_PARAM_SYNC_H_
#define LOCKSTEP_ENGINE_TRAIN_PARAM_SYNC_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/plan/variables.h"
#include "engine/train/checkpoint_contents.h"
#include "engine/train/rank_group.h"

namespace lockstep {

// What a sync carries from step to step: part of the complete state, some of it on each rank.
class SyncState {
 public:
  virtual ~SyncState() = default;
  // Every rank, behind the same step: brings together on rank 0 what Save is to write.
  virtual void Collect(Variables& variables) = 0;
  // What was collected behind this step; nothing where it was not.
  virtual void Save(CheckpointContents* contents) const = 0;
  // Check throws ShapeError (76) or FormatError (65) for all that Restore cannot take, and changes
  // nothing. A checkpoint without such a state is taken as one before the first step.
  virtual void Check(const CheckpointContents& contents, const Variables& variables) const = 0;
  virtual void Restore(const CheckpointContents& contents, const Variables& variables) = 0;
};

// One sum of gradients as the communicating thread ran it; moments of Seconds().
struct SumTime {
  double begin = 0.0, end = 0.0;
  int64_t bytes = 0;
};

// Makes the gradients of one process those of the whole job. Every rank takes part in every step,
// also with a part of the batch that is empty or has failed.
class ParamSync {
 public:
  virtual ~ParamSync() = default;
  // Who trains together.
  virtual RankGroup& group() = 0;
  // Whether there is nothing to add: a step may go without the calls below.
  virtual bool is_local() const { return false; }
  // What must be the same on every rank, in words.
  virtual std::string settings() const { return ""; }

  // Before the first step: gets the memory that it needs. May be called again.
  virtual void Prepare(Variables& variables) = 0;
  // Before a step computes, behind the update of the last one. `in_parts`, the same in all steps:
  // of the sums nobody here needs more than to read them once, for the update.
  virtual void BeginStep(Variables& variables, bool in_parts) = 0;
  // While the backward pass runs: elements [0, end) of the flat gradients are final here.
  virtual void Ready(Variables& variables, int64_t end) = 0;
  // After it: returns when all gradients are sums over all ranks. They lie in these parts, one
  // behind the other, until BeginStep; where there are none, in the variables.
  virtual std::span<const GradientPart> FinishGradients(Variables& variables) = 0;
  // Whether those sums are finite that this rank looks at; together several ranks look at all.
  virtual bool ShareOfSumsIsFinite(const Variables& variables) const = 0;
  // Over how many labels they are sums, once a step: `count`, that of this step, where they are
  // its own. 0: there is nothing to apply yet.
  virtual int64_t CountOf(int64_t count) = 0;
  // After a step in which this rank's running statistics followed `mine` of `all` samples: they
  // become the mean over ranks, weighted by samples.
  virtual void AverageStates(Variables& variables, int64_t mine, int64_t all) = 0;
  // Null where nothing is carried over.
  virtual SyncState* state() = 0;

  // The sums that have ended since this was last called, in their order.
  virtual std::vector<SumTime> TakeTimes() = 0;

  // Gives back what it keeps in the variables' device, of which nothing is under way, for good: it
  // may outlive that.
  virtual void LetGoOfDevice() noexcept {}
};

// One process: nothing to add.
class LocalSync : public ParamSync {
 public:
  RankGroup& group() override { return group_; }
  bool is_local() const override { return true; }
  void Prepare(Variables&) override {}
  void BeginStep(Variables&, bool) override {}
  void Ready(Variables&, int64_t) override {}
  std::span<const GradientPart> FinishGradients(Variables&) override { return {}; }
  bool ShareOfSumsIsFinite(const Variables&) const override { return true; }
  int64_t CountOf(int64_t count) override { return count; }
  void AverageStates(Variables&, int64_t, int64_t) override {}
  SyncState* state() override { return nullptr; }
  std::vector<SumTime> TakeTimes() override { return {}; }

 private:
  OneRank group_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_PARAM_SYNC_H_
