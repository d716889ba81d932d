// What happens beside the updates: evaluation, reports, checkpoints.
#ifndef LOCKSTEP_ENGINE_TRAIN_EXTENSION_H_
#define LOCKSTEP_ENGINE_TRAIN_EXTENSION_H_

#include <string>

#include "engine/train/checkpoint_contents.h"
#include "engine/train/trigger.h"

namespace lockstep {

class Trainer;

// Invoked in the order of registration, after the update at which its trigger fires. What it keeps
// between invocations and needs after a resume goes through Save and Restore.
class Extension {
 public:
  virtual ~Extension() = default;
  // Also the prefix of its entries in a checkpoint; unique within a trainer.
  virtual std::string name() const = 0;
  virtual Trigger trigger() const = 0;
  virtual void Invoke(Trainer& trainer) = 0;
  // Whether it looks at weights or results each time that it is invoked. Before one that does the
  // trainer waits for a device that is behind, and knows that all steps went well; one that does
  // not asks the trainer, or calls Settle(), where it wants to know.
  virtual bool looks_at_results() const { return true; }
  // Once, when training ends for whatever reason but an error.
  virtual void Finish(Trainer&) {}
  virtual void Save(CheckpointContents*) const {}
  virtual void Restore(const CheckpointContents&) {}
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_EXTENSION_H_
