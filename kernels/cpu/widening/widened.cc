#include "kernels/cpu/widening/widened.h"

namespace lockstep::cpu {

float* Widened::Allocate(int64_t size) {
  copies_.push_back(tools_.memory->Take(size));
  return copies_.back().memory.get();
}

const float* Widened::In(const void* x, int64_t size) {
  if (x == nullptr) return nullptr;
  float* const copy = Allocate(size);
  tools_.elementwise->Cast(dtype_, DType::kFloat32, size, x, copy);
  return copy;
}

float* Widened::Out(void* y, int64_t size) {
  if (y == nullptr) return nullptr;
  float* const copy = Allocate(size);
  outputs_.push_back({copy, y, size});
  return copy;
}

void Widened::Store() {
  for (const Output& output : outputs_) {
    tools_.elementwise->Cast(DType::kFloat32, dtype_, output.size, output.copy, output.target);
  }
}

}  // namespace lockstep::cpu
