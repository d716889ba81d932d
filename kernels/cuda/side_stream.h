// Work of one GPU beside that of its kernels.
#ifndef LOCKSTEP_KERNELS_CUDA_SIDE_STREAM_H_
#define LOCKSTEP_KERNELS_CUDA_SIDE_STREAM_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>

#include "kernels/cuda/device.h"

namespace lockstep::cuda {

// Of one thread at a time. What waits to run on both goes ahead here: others wait for it.
class SideStream {
 public:
  explicit SideStream(const Device& device);
  ~SideStream();
  SideStream(const SideStream&) = delete;
  SideStream& operator=(const SideStream&) = delete;

  // Makes the device the calling thread's.
  void Enter() const;
  // Begin copies; the host's memory is pinned and stays until they are done.
  void Upload(const void* host, void* device, size_t bytes);
  void Download(const void* device, void* host, size_t bytes);
  // Whether all work begun before the last Mark is done. Throws DeviceError for a failure of it.
  void Mark();
  bool IsDone() const;

  // Of the host, where this device copies from and to by itself.
  std::shared_ptr<std::byte> AllocatePinned(size_t bytes) const;
  // Whether that memory is a GPU's.
  bool Holds(const void* memory) const;

  cudaStream_t handle() const { return stream_; }

 private:
  Device device_;
  cudaStream_t stream_ = nullptr;
  cudaEvent_t event_ = nullptr;
};

}  // namespace lockstep::cuda

#endif  // LOCKSTEP_KERNELS_CUDA_SIDE_STREAM_H_
