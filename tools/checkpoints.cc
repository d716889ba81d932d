#include "tools/checkpoints.h"

#include "tools/allocation.h"

namespace lockstep::tools {

Checkpoints::Checkpoints(CheckpointStore* store, CheckpointInterval interval, Recipe recipe)
    : store_(store), interval_(interval), recipe_(std::move(recipe)) {}

Trigger Checkpoints::trigger() const {
  if (interval_.iterations > 0) return Trigger::Iterations(interval_.iterations);
  return interval_.seconds > 0.0 ? Trigger::Iterations(1) : Trigger::Epochs(1);
}

bool Checkpoints::Due(Trainer& trainer) const {
  const std::chrono::duration<double> since = Clock::now() - saved_at_;
  const bool due = store_ != nullptr && since.count() >= interval_.seconds;
  SyncState* const state = trainer.sync().state();
  if (state == nullptr) return due;
  // The clock that counts is that of the rank with the store.
  if (!AnyRank(trainer.network().group(), due)) return false;
  state->Collect(trainer.network().variables());
  return due;
}

void Checkpoints::Invoke(Trainer& trainer) {
  if (Due(trainer)) SaveNow(trainer);
}

void Checkpoints::SaveLast(Trainer& trainer) {
  if (saved_iteration_ != trainer.clock().iteration) SaveNow(trainer);
}

void Checkpoints::SaveNow(Trainer& trainer) {
  const Doing doing("a checkpoint");
  store_->Save(trainer.State(), {.iteration = trainer.clock().iteration,
                                 .world_size = trainer.network().group().size(),
                                 .config_hash = std::to_string(trainer.network().graph().Hash())});
  saved_at_ = Clock::now();
  saved_iteration_ = trainer.clock().iteration;
}

}  // namespace lockstep::tools
