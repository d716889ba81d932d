#include "kernels/cpu/widening/widened.h"

#include <cstdlib>
#include <string>

#include "kernels/error.h"

namespace lockstep::cpu {

void Widened::Freed::operator()(float* memory) const noexcept { std::free(memory); }

float* Widened::Allocate(int64_t size) {
  constexpr size_t kAlignment = 64;
  const size_t bytes = static_cast<size_t>(size) * sizeof(float) / kAlignment * kAlignment;
  auto* const memory = static_cast<float*>(std::aligned_alloc(kAlignment, bytes + kAlignment));
  if (memory == nullptr) {
    throw DeviceError("out of memory: " + std::to_string(bytes + kAlignment) +
                      " bytes for 16-bit floats as float32 on cpu; use a smaller batch or network");
  }
  copies_.emplace_back(memory);
  return memory;
}

const float* Widened::In(const void* x, int64_t size) {
  if (x == nullptr) return nullptr;
  float* const copy = Allocate(size);
  kernels_.Cast(dtype_, DType::kFloat32, size, x, copy);
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
    kernels_.Cast(DType::kFloat32, dtype_, output.size, output.copy, output.target);
  }
}

}  // namespace lockstep::cpu
