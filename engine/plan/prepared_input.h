// An input of a plan that the device makes of rows as they are stored.
#ifndef LOCKSTEP_ENGINE_PLAN_PREPARED_INPUT_H_
#define LOCKSTEP_ENGINE_PLAN_PREPARED_INPUT_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "engine/plan/instruction.h"
#include "engine/plan/picture_preparation.h"
#include "engine/tensor/device_memory.h"
#include "kernels/backend.h"

namespace lockstep {

// Places stay where they are from run to run. The backend must outlive it.
class PreparedInput {
 public:
  // `type`: of the whole input, (rows, ...). `place`: where it is to lie on a device with memory of
  // its own; elsewhere some of the host's is taken. ShapeError for a preparation that makes
  // something else.
  PreparedInput(Backend& backend, const TensorType& type, void* place,
                std::shared_ptr<const PicturePreparation> preparation);

  const std::shared_ptr<const PicturePreparation>& preparation() const { return preparation_; }
  // Where lines read the input.
  void* place() const { return place_; }
  // Before each run: brings the rows to the device, one byte a value.
  void Feed(const void* rows);
  // Begins to make the input of them; waits for nothing.
  void Prepare(const RunContext& context) const;

 private:
  Backend& backend_;
  std::shared_ptr<const PicturePreparation> preparation_;
  int64_t rows_;
  DeviceMemory own_;     // where the host's memory will do: the input itself
  DeviceMemory stored_;  // elsewhere: the rows as stored, and the table behind them
  void* place_;
  const void* table_;
  const uint8_t* stored_rows_ = nullptr;
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_PLAN_PREPARED_INPUT_H_
