// The running statistics as they were before a step that may have to be taken back.
#ifndef LOCKSTEP_ENGINE_TRAIN_SAVED_STATES_H_
#define LOCKSTEP_ENGINE_TRAIN_SAVED_STATES_H_

#include <vector>

#include "engine/plan/variables.h"

namespace lockstep {

class SavedStates {
 public:
  // Copies them; `variables` must outlive this.
  explicit SavedStates(const Variables& variables);
  void Restore() const;

 private:
  const Variables& variables_;
  std::vector<char> bytes_;  // one after the other
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_SAVED_STATES_H_
