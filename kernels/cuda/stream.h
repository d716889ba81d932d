// The order of work on one GPU, and what its kernels share.
#ifndef LOCKSTEP_KERNELS_CUDA_STREAM_H_
#define LOCKSTEP_KERNELS_CUDA_STREAM_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/cuda/caching_allocator.h"
#include "kernels/cuda/copy_slots.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/upload_ring.h"
#include "kernels/math/bad_label.h"

namespace lockstep::cuda {

// A Stream of kernels/cuda/dispatch.h. Not thread-safe.
class GpuStream {
 public:
  // `allocator` must outlive this.
  GpuStream(const Device& device, CachingAllocator* allocator);
  ~GpuStream();
  GpuStream(const GpuStream&) = delete;
  GpuStream& operator=(const GpuStream&) = delete;

  // Defined in launch.cuh, for .cu files alone.
  template <typename Map>
  void ForEach(const char* name, int64_t size, const Map& map);
  template <typename Map>
  void ForPacks(const char* name, int64_t size, const Map& map);
  template <typename Algorithm>
  void ForBlocks(const char* name, int64_t blocks, const Algorithm& algorithm);

  // Grows when more is asked for than ever before, which no recorded CUDA graph may do: a plan runs
  // once before it is recorded.
  void* Scratch(size_t bytes);
  // From now on what it has grown out of stays allocated: recorded work writes there.
  void KeepScratch() { keeps_scratch_ = true; }

  // The host's memory may change as soon as the call returns. Waits for copies before it at most,
  // never for kernels unless the host is far ahead of them (UploadRing).
  void Upload(const void* host, void* device, size_t bytes);
  void Copy(const void* from, void* to, size_t bytes);
  void Clear(void* device, size_t bytes);
  void Download(const void* from, void* to, size_t bytes);
  // Throws DeviceError, naming the last kernel begun, when something failed, and FormatError for a
  // label out of range.
  void Synchronize();

  // Where kernels write a label that is none; the host reads it when the work is done.
  math::BadLabel* bad_label() { return bad_label_; }
  cudaStream_t handle() const { return stream_; }
  const Device& device() const { return device_; }

 private:
  // Of grid-stride kernels of `threads` threads over `items` items.
  unsigned Blocks(int64_t items, int64_t threads) const;
  // Throws DeviceError when `name` could not be begun.
  void CheckLaunch(const char* name);

  Device device_;
  CachingAllocator* allocator_;
  cudaStream_t stream_ = nullptr;
  void* scratch_ = nullptr;
  size_t scratch_bytes_ = 0;
  bool keeps_scratch_ = false;
  std::vector<void*> kept_scratch_;
  math::BadLabel* bad_label_ = nullptr;  // pinned
  char* staging_ = nullptr;              // pinned, of downloads
  std::optional<CopySlots> slots_;
  std::optional<UploadRing> uploads_;
  const char* last_kernel_ = "none";
};

}  // namespace lockstep::cuda

#endif  // LOCKSTEP_KERNELS_CUDA_STREAM_H_
