#include "tools/checkpoints.h"

#include "engine/train/checkpoint_index.h"
#include "kernels/error.h"
#include "tools/allocation.h"

namespace lockstep::tools {
namespace {

// The iteration of the newest checkpoint that the directory lists; -1: none, or none to be read.
int64_t NewestListed(const std::string& directory) {
  if (directory.empty()) return -1;
  try {
    const CheckpointIndex index = ReadCheckpointIndex(directory);
    return index.entries.empty() ? -1 : index.entries.back().tag.iteration;
  } catch (const Error&) {
    return -1;
  }
}

}  // namespace

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

void RequireNoneNewer(const JobRanks& ranks, const std::string& directory) {
  const int64_t here = NewestListed(directory);
  int64_t first = here;
  ranks.group().Broadcast(&first, sizeof first, 0);
  ranks.Together([&] {
    if (here <= first) return;
    throw Error(ExitCode::kDisagree,
                directory + " of this host has a checkpoint of iteration " + std::to_string(here) +
                    ", that of the first process " +
                    (first < 0 ? "none" : "one of " + std::to_string(first)) +
                    "; name this host first, share the folder, or start anew with --resume False");
  });
}

}  // namespace lockstep::tools
