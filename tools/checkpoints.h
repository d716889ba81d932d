// When a job saves its state, and where it may go on.
#ifndef LOCKSTEP_TOOLS_CHECKPOINTS_H_
#define LOCKSTEP_TOOLS_CHECKPOINTS_H_

#include <chrono>
#include <string>

#include "engine/train/checkpoint_store.h"
#include "engine/train/trainer.h"
#include "tools/job_ranks.h"
#include "tools/recipe.h"
#include "tools/train_options.h"

namespace lockstep::tools {

// Saves the trainer's state, and the recipe with it, whenever due. The last state of a job is saved
// by SaveLast(): it must not wait for reports and pictures. Every rank of a job has one, so that
// all bring their parts of the state together whenever the first saves it.
class Checkpoints : public Extension {
 public:
  // The store must outlive it; null: this rank saves nothing itself.
  Checkpoints(CheckpointStore* store, CheckpointInterval interval, Recipe recipe);

  std::string name() const override { return "checkpoints"; }
  Trigger trigger() const override;
  bool looks_at_results() const override { return false; }  // but when it saves
  void Invoke(Trainer& trainer) override;
  void Save(CheckpointContents* contents) const override { SaveRecipe(recipe_, contents); }

  // Nothing where this iteration's state is saved already.
  void SaveLast(Trainer& trainer);

 private:
  using Clock = std::chrono::steady_clock;

  bool Due(Trainer& trainer) const;
  void SaveNow(Trainer& trainer);

  CheckpointStore* store_;
  CheckpointInterval interval_;
  Recipe recipe_;
  Clock::time_point saved_at_ = Clock::now();
  int64_t saved_iteration_ = -1;
};

// The first process reads and writes checkpoints, for all. A folder that hosts do not share may be
// further on another host, which then was the first before: throws AgreedError (76) on all ranks
// where `directory`, each rank's own, lists a newer checkpoint than the first one's.
void RequireNoneNewer(const JobRanks& ranks, const std::string& directory);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_CHECKPOINTS_H_
