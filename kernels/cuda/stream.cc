#include "kernels/cuda/stream.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "kernels/error.h"
#include "kernels/unavailable.h"

namespace lockstep::cuda {
namespace {

// Copies to ordinary memory go through this much pinned memory at a time.
constexpr size_t kStagingBytes = size_t{4} << 20;

}  // namespace

GpuStream::GpuStream(const Device& device, CachingAllocator* allocator)
    : device_(device), allocator_(allocator) {
  Check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
  void* pinned = nullptr;
  Check(cudaHostAlloc(&pinned, sizeof(math::BadLabel), cudaHostAllocDefault), "pinning memory");
  bad_label_ = static_cast<math::BadLabel*>(pinned);
  *bad_label_ = {};
  Check(cudaHostAlloc(&pinned, kStagingBytes, cudaHostAllocDefault), "pinning memory");
  staging_ = static_cast<char*>(pinned);
  slots_.emplace(stream_, allocator_);
  uploads_.emplace(&*slots_);
}

GpuStream::~GpuStream() {
  cudaStreamSynchronize(stream_);
  slots_.reset();
  for (void* const scratch : kept_scratch_) allocator_->Free(scratch);
  allocator_->Free(scratch_);
  cudaFreeHost(bad_label_);
  cudaFreeHost(staging_);
  cudaStreamDestroy(stream_);
}

void* GpuStream::Scratch(size_t bytes) {
  if (bytes <= scratch_bytes_) return scratch_;
  if (keeps_scratch_) {
    kept_scratch_.push_back(scratch_);
  } else {
    allocator_->Free(scratch_);
  }
  scratch_ = nullptr;
  scratch_bytes_ = 0;
  scratch_ = allocator_->Allocate(bytes, "the scratch memory of kernels");
  scratch_bytes_ = CachingAllocator::ClassOf(bytes);
  return scratch_;
}

void GpuStream::Upload(const void* host, void* device, size_t bytes) {
  uploads_->Upload(host, device, bytes);
}

void GpuStream::Copy(const void* from, void* to, size_t bytes) {
  if (bytes == 0) return;
  Check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_), "copying");
}

void GpuStream::Clear(void* device, size_t bytes) {
  if (bytes == 0) return;
  Check(cudaMemsetAsync(device, 0, bytes, stream_), "clearing memory");
}

void GpuStream::Download(const void* from, void* to, size_t bytes) {
  Synchronize();  // also of no bytes: it throws what kernels found
  for (size_t done = 0; done < bytes;) {
    const size_t part = std::min(kStagingBytes, bytes - done);
    Check(cudaMemcpyAsync(staging_, static_cast<const char*>(from) + done, part,
                          cudaMemcpyDeviceToHost, stream_),
          "copying from the GPU");
    Check(cudaStreamSynchronize(stream_), "copying from the GPU");
    std::memcpy(static_cast<char*>(to) + done, staging_, part);
    done += part;
  }
}

void GpuStream::Synchronize() {
  const cudaError_t status = cudaStreamSynchronize(stream_);
  if (status != cudaSuccess) {
    throw DeviceError("work on cuda:" + std::to_string(device_.index) +
                      " failed: " + cudaGetErrorString(status) + " (" + cudaGetErrorName(status) +
                      "); the last kernel begun was '" + last_kernel_ +
                      "', with CUDA_LAUNCH_BLOCKING=1 it is the one that failed");
  }
  const math::BadLabel bad = *bad_label_;
  *bad_label_ = {};
  if (bad.rows > 0) throw FormatError(Text(bad));
}

unsigned GpuStream::Blocks(int64_t items, int64_t threads) const {
  // More would only wait: grid-stride loops take what is left.
  constexpr int64_t kBlocksAProcessor = 8;
  const int64_t wanted = (items + threads - 1) / threads;
  return static_cast<unsigned>(std::min(wanted, device_.processors * kBlocksAProcessor));
}

void GpuStream::CheckLaunch(const char* name) {
  last_kernel_ = name;
  const cudaError_t status = cudaGetLastError();
  if (status == cudaSuccess) return;
  const std::string told =
      "kernel '" + std::string(name) + "' on cuda:" + std::to_string(device_.index) +
      " failed: " + cudaGetErrorString(status) + " (" + cudaGetErrorName(status) + ")";
  // Code comes to the device when it is first begun.
  if (status == cudaErrorMemoryAllocation) throw UnavailableError(told);
  throw DeviceError(told);
}

}  // namespace lockstep::cuda
