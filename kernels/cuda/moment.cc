#include "kernels/cuda/moment.h"

namespace lockstep::cuda {

GpuMoment::GpuMoment(const Device& device, cudaStream_t stream) : device_(device.index) {
  Check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming | cudaEventBlockingSync),
        "making an event");
  const cudaError_t status = cudaEventRecord(event_, stream);
  if (status != cudaSuccess) cudaEventDestroy(event_);
  Check(status, "marking a place in a stream");
}

GpuMoment::~GpuMoment() { cudaEventDestroy(event_); }

void GpuMoment::Wait() {
  Check(cudaSetDevice(device_), "entering a device");
  Check(cudaEventSynchronize(event_), "work before a marked place");
}

}  // namespace lockstep::cuda
