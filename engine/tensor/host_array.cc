#include "engine/tensor/host_array.h"

namespace lockstep {

Tensor CopyToHost(Backend& backend, const TensorType& type, const void* device) {
  Tensor copy(type.dtype, type.shape);
  backend.Download(device, copy.data(), copy.bytes());
  return copy;
}

Tensor ViewOnHost(Backend& backend, const TensorType& type, const void* device) {
  if (!backend.shares_host_memory()) return CopyToHost(backend, type, device);
  return Tensor::Wrap(type.dtype, type.shape, const_cast<void*>(device), nullptr);
}

DeviceView::DeviceView(Backend& backend, const void* host, size_t bytes) : host_(host) {
  if (backend.shares_host_memory()) return;
  copy_ = AllocateOn(backend, bytes, "an array to look at");
  backend.Upload(host, copy_.get(), bytes);
}

}  // namespace lockstep
