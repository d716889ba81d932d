// A place in the order of a GPU's work.
#ifndef LOCKSTEP_KERNELS_CUDA_MOMENT_H_
#define LOCKSTEP_KERNELS_CUDA_MOMENT_H_

#include <cuda_runtime_api.h>

#include "kernels/backend.h"
#include "kernels/cuda/device.h"

namespace lockstep::cuda {

class GpuMoment final : public DeviceMoment {
 public:
  // Behind what `stream` was given so far; on the device that the calling thread has entered.
  GpuMoment(const Device& device, cudaStream_t stream);
  ~GpuMoment() override;
  GpuMoment(const GpuMoment&) = delete;
  GpuMoment& operator=(const GpuMoment&) = delete;

  // Sleeps: a kernel may take long.
  void Wait() override;

 private:
  int device_;
  cudaEvent_t event_ = nullptr;
};

}  // namespace lockstep::cuda

#endif  // LOCKSTEP_KERNELS_CUDA_MOMENT_H_
