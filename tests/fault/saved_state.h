// States whose every element follows from their iteration, so that any of them can be checked.
#ifndef LOCKSTEP_TESTS_FAULT_SAVED_STATE_H_
#define LOCKSTEP_TESTS_FAULT_SAVED_STATE_H_

#include <cstdint>
#include <string>

#include "engine/train/checkpoint_store.h"

namespace lockstep::testing {

inline CheckpointContents StateOf(int64_t iteration, int64_t elements) {
  CheckpointContents state;
  for (const char* name : {"predictor/W", "velocity"}) {
    Tensor tensor(DType::kInt64, {elements});
    int64_t next = iteration * 1000003;
    for (int64_t& value : tensor.values<int64_t>()) value = next++;
    state.tensors[name] = tensor;
  }
  state.values["epoch"] = iteration / 10;
  return state;
}

inline bool IsStateOf(int64_t iteration, const CheckpointContents& state) {
  for (const auto& [name, tensor] : state.tensors) {
    int64_t next = iteration * 1000003;
    for (const int64_t value : tensor.values<int64_t>()) {
      if (value != next++) return false;
    }
  }
  return state.tensors.size() == 2 && state.Integer("epoch") == iteration / 10;
}

// The iteration that loads from `directory`; -1 for none, -2 when its content is not what was
// saved under it.
inline int64_t NewestIn(const std::string& directory) {
  const auto loaded = LoadNewestCheckpoint(directory, [](const std::string&) {});
  if (!loaded) return -1;
  return IsStateOf(loaded->tag.iteration, loaded->contents) ? loaded->tag.iteration : -2;
}

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_FAULT_SAVED_STATE_H_
