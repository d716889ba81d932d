#include "kernels/cuda/side_stream.h"

#include <algorithm>

namespace lockstep::cuda {

SideStream::SideStream(const Device& device) : device_(device) {
  Enter();
  int least = 0, greatest = 0;
  Check(cudaDeviceGetStreamPriorityRange(&least, &greatest), "priorities of streams");
  Check(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, greatest), "making a stream");
  Check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "making an event");
}

SideStream::~SideStream() {
  cudaSetDevice(device_.index);
  cudaEventDestroy(event_);
  cudaStreamDestroy(stream_);
}

void SideStream::Enter() const { Check(cudaSetDevice(device_.index), "entering a device"); }

void SideStream::Upload(const void* host, void* device, size_t bytes) {
  Check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream_),
        "copying to the GPU");
}

void SideStream::Download(const void* device, void* host, size_t bytes) {
  Check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream_),
        "copying from the GPU");
}

void SideStream::Mark() { Check(cudaEventRecord(event_, stream_), "marking a place in a stream"); }

bool SideStream::IsDone() const {
  const cudaError_t status = cudaEventQuery(event_);
  if (status == cudaErrorNotReady) return false;
  Check(status, "work beside the kernels");
  return true;
}

std::shared_ptr<std::byte> SideStream::AllocatePinned(size_t bytes) const {
  void* memory = nullptr;
  Check(cudaHostAlloc(&memory, std::max<size_t>(bytes, 1), cudaHostAllocDefault), "pinning memory");
  return {static_cast<std::byte*>(memory), [](std::byte* pinned) { cudaFreeHost(pinned); }};
}

bool SideStream::Holds(const void* memory) const {
  cudaPointerAttributes attributes;
  if (cudaPointerGetAttributes(&attributes, memory) != cudaSuccess) {
    cudaGetLastError();
    return false;
  }
  return attributes.type == cudaMemoryTypeDevice;
}

}  // namespace lockstep::cuda
