// The running statistics as they were before a step that may have to be taken back.
#ifndef LOCKSTEP_ENGINE_TRAIN_SAVED_STATES_H_
#define LOCKSTEP_ENGINE_TRAIN_SAVED_STATES_H_

#include "engine/plan/variables.h"
#include "engine/tensor/device_memory.h"

namespace lockstep {

class SavedStates {
 public:
  // Copies them; both must outlive this.
  SavedStates(const Variables& variables, Backend& backend)
      : variables_(variables),
        backend_(backend),
        copy_(AllocateOn(backend, variables.state_bytes(), "running statistics to go back to")) {
    backend_.Copy(variables_.states(), copy_.get(), variables_.state_bytes());
  }
  void Restore() const {
    backend_.Copy(copy_.get(), variables_.states(), variables_.state_bytes());
  }

 private:
  const Variables& variables_;
  Backend& backend_;
  DeviceMemory copy_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_SAVED_STATES_H_
