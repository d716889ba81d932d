#ifndef LOCKSTEP_KERNELS_CUDA_COPY_SLOTS_H_
#define LOCKSTEP_KERNELS_CUDA_COPY_SLOTS_H_

#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>

#include "kernels/cuda/caching_allocator.h"
#include "kernels/cuda/upload_ring.h"

namespace lockstep::cuda {

// The slots of a GPU: copies to it have a stream of their own, and events keep the two in order.
class CopySlots final : public UploadSlots {
 public:
  // `work` is the stream of all other work. Both must outlive this.
  CopySlots(cudaStream_t work, CachingAllocator* allocator);
  ~CopySlots() override;
  CopySlots(const CopySlots&) = delete;
  CopySlots& operator=(const CopySlots&) = delete;

  size_t count() const override { return kCount; }
  size_t bytes() const override { return kBytes; }
  char* Pinned(size_t slot) override;
  void Send(size_t slot, size_t bytes) override;
  void Deliver(size_t slot, void* device, size_t bytes) override;

 private:
  // A step sends four arrays or five, most of them small: enough to be steps ahead.
  static constexpr size_t kCount = 16;
  static constexpr size_t kBytes = size_t{2} << 20;

  struct Slot {
    // Never recorded is as good as done.
    cudaEvent_t sent = nullptr, delivered = nullptr;
  };
  void Release() noexcept;

  cudaStream_t work_;
  CachingAllocator* allocator_;
  cudaStream_t copies_ = nullptr;
  char* pinned_ = nullptr;
  char* on_device_ = nullptr;
  std::array<Slot, kCount> slots_ = {};
};

}  // namespace lockstep::cuda

#endif  // LOCKSTEP_KERNELS_CUDA_COPY_SLOTS_H_
