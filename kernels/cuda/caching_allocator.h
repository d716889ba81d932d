// Keeps a GPU's freed memory for the next allocation of its size: the driver's own allocation stops
// the device.
#ifndef LOCKSTEP_KERNELS_CUDA_CACHING_ALLOCATOR_H_
#define LOCKSTEP_KERNELS_CUDA_CACHING_ALLOCATOR_H_

#include <cstddef>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

namespace lockstep::cuda {

// Where the memory comes from.
class RawMemory {
 public:
  virtual ~RawMemory() = default;
  // At least 256-byte aligned; null when there is none left.
  virtual void* Take(size_t bytes) = 0;
  virtual void Give(void* memory) noexcept = 0;

  struct Room {
    size_t free = 0, total = 0;
  };
  // Of the whole device, other processes' use counted.
  virtual Room GetRoom() = 0;
};

// Sizes are rounded up to classes, eight to a power of two, and a freed block serves the next
// allocation of its class; all work is on one stream, so it may do so at once. Blocks are neither
// split nor joined: a plan has one arena, and the same sizes come again. Not thread-safe.
class CachingAllocator {
 public:
  // `raw` must outlive this; `device` as "cuda:0".
  CachingAllocator(RawMemory* raw, std::string device);
  // Gives back everything, also what was not freed.
  ~CachingAllocator();
  CachingAllocator(const CachingAllocator&) = delete;
  CachingAllocator& operator=(const CachingAllocator&) = delete;

  // Throws UnavailableError that names `purpose`, what was asked for and what there is.
  void* Allocate(size_t bytes, const std::string& purpose);
  // Null is nothing to do.
  void Free(void* memory) noexcept;
  // Gives the blocks that nobody uses back to the device.
  void Trim() noexcept;

  // The size of the block that `bytes` are given; 0 when there is no such size.
  static size_t ClassOf(size_t bytes);

  size_t used_bytes() const { return used_; }
  size_t peak_bytes() const { return peak_; }
  size_t cached_bytes() const { return cached_; }

 private:
  void* TakeBlock(size_t size);

  RawMemory* raw_;
  std::string device_;
  std::unordered_map<void*, size_t> blocks_;  // in use -> size
  std::map<size_t, std::vector<void*>> idle_;
  size_t used_ = 0, peak_ = 0, cached_ = 0;
};

}  // namespace lockstep::cuda

#endif  // LOCKSTEP_KERNELS_CUDA_CACHING_ALLOCATOR_H_
