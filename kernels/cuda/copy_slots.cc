#include "kernels/cuda/copy_slots.h"

#include "kernels/cuda/device.h"

namespace lockstep::cuda {
namespace {

constexpr char kCopying[] = "copying to the GPU";

}  // namespace

CopySlots::CopySlots(cudaStream_t work, CachingAllocator* allocator)
    : work_(work), allocator_(allocator) {
  try {
    Check(cudaStreamCreateWithFlags(&copies_, cudaStreamNonBlocking), "making a stream");
    void* pinned = nullptr;
    Check(cudaHostAlloc(&pinned, kCount * kBytes, cudaHostAllocDefault), "pinning memory");
    pinned_ = static_cast<char*>(pinned);
    on_device_ =
        static_cast<char*>(allocator_->Allocate(kCount * kBytes, "arrays on their way to the GPU"));
    for (Slot& slot : slots_) {
      Check(cudaEventCreateWithFlags(&slot.sent, cudaEventDisableTiming), "making an event");
      Check(cudaEventCreateWithFlags(&slot.delivered, cudaEventDisableTiming), "making an event");
    }
  } catch (...) {
    Release();
    throw;
  }
}

CopySlots::~CopySlots() { Release(); }

void CopySlots::Release() noexcept {
  if (copies_ != nullptr) cudaStreamSynchronize(copies_);
  cudaStreamSynchronize(work_);
  for (const Slot& slot : slots_) {
    if (slot.sent != nullptr) cudaEventDestroy(slot.sent);
    if (slot.delivered != nullptr) cudaEventDestroy(slot.delivered);
  }
  allocator_->Free(on_device_);
  cudaFreeHost(pinned_);
  if (copies_ != nullptr) cudaStreamDestroy(copies_);
}

char* CopySlots::Pinned(size_t slot) {
  Check(cudaEventSynchronize(slots_[slot].sent), kCopying);
  return pinned_ + slot * kBytes;
}

void CopySlots::Send(size_t slot, size_t bytes) {
  const Slot& s = slots_[slot];
  Check(cudaStreamWaitEvent(copies_, s.delivered, 0), kCopying);
  Check(cudaMemcpyAsync(on_device_ + slot * kBytes, pinned_ + slot * kBytes, bytes,
                        cudaMemcpyHostToDevice, copies_),
        kCopying);
  Check(cudaEventRecord(s.sent, copies_), kCopying);
}

void CopySlots::Deliver(size_t slot, void* device, size_t bytes) {
  const Slot& s = slots_[slot];
  Check(cudaStreamWaitEvent(work_, s.sent, 0), kCopying);
  Check(cudaMemcpyAsync(device, on_device_ + slot * kBytes, bytes, cudaMemcpyDeviceToDevice, work_),
        kCopying);
  Check(cudaEventRecord(s.delivered, work_), kCopying);
}

}  // namespace lockstep::cuda
