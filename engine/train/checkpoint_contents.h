// What a checkpoint holds: the complete state of a training run, under names.
#ifndef LOCKSTEP_ENGINE_TRAIN_CHECKPOINT_CONTENTS_H_
#define LOCKSTEP_ENGINE_TRAIN_CHECKPOINT_CONTENTS_H_

#include <cstdint>
#include <map>
#include <string>
#include <variant>

#include "engine/tensor/tensor.h"

namespace lockstep {

using CheckpointValue = std::variant<int64_t, double, std::string>;

// Names are 1 to 65,535 bytes. Copies share the elements of the arrays, as Tensor does.
struct CheckpointContents {
  std::map<std::string, Tensor> tensors;
  std::map<std::string, CheckpointValue> values;

  // The value of that name and type, the array of that name, dtype and shape. Throws ShapeError
  // (76) naming what was asked for and what is stored: a checkpoint of another job.
  int64_t Integer(const std::string& name) const;
  double Real(const std::string& name) const;
  const std::string& Text(const std::string& name) const;
  const Tensor& Array(const std::string& name, const TensorType& type) const;
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_CHECKPOINT_CONTENTS_H_
