// Memory of a backend that frees itself.
#ifndef LOCKSTEP_ENGINE_TENSOR_DEVICE_MEMORY_H_
#define LOCKSTEP_ENGINE_TENSOR_DEVICE_MEMORY_H_

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>

#include "kernels/backend.h"

namespace lockstep {

constexpr size_t kDeviceAlignment = 64;  // of Backend::Allocate

// `bytes` up to the next place where an aligned array may start.
template <typename T>
constexpr T Padded(T bytes) {
  constexpr T kAlignment = kDeviceAlignment;
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

struct BackendDeleter {
  Backend* backend = nullptr;  // outlives the memory
  void operator()(void* memory) const noexcept { backend->Free(memory); }
};
using DeviceMemory = std::unique_ptr<void, BackendDeleter>;

// At least `bytes`, never none. Throws what Backend::Allocate throws.
inline DeviceMemory AllocateOn(Backend& backend, size_t bytes, const std::string& purpose) {
  return {backend.Allocate(std::max(bytes, kDeviceAlignment), purpose), {&backend}};
}

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TENSOR_DEVICE_MEMORY_H_
