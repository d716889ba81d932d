// Arrays on their way between a device's memory and the host's.
#ifndef LOCKSTEP_ENGINE_TENSOR_HOST_ARRAY_H_
#define LOCKSTEP_ENGINE_TENSOR_HOST_ARRAY_H_

#include <cstddef>

#include "engine/tensor/device_memory.h"
#include "engine/tensor/tensor.h"
#include "kernels/backend.h"

namespace lockstep {

// A copy of the array at `device`.
Tensor CopyToHost(Backend& backend, const TensorType& type, const void* device);
// The same to look at: where the device shares the host's memory it is the array itself, which must
// then outlive it.
Tensor ViewOnHost(Backend& backend, const TensorType& type, const void* device);

// `bytes` of the host's memory where kernels can read them: those themselves, or a copy.
class DeviceView {
 public:
  DeviceView(Backend& backend, const void* host, size_t bytes);
  const void* data() const { return copy_ ? copy_.get() : host_; }

 private:
  const void* host_;
  DeviceMemory copy_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TENSOR_HOST_ARRAY_H_
