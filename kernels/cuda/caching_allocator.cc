#include "kernels/cuda/caching_allocator.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include "kernels/unavailable.h"

namespace lockstep::cuda {
namespace {

constexpr size_t kSmallest = 512;  // the alignment that libraries like best, and cudaMalloc's grain
constexpr size_t kClassesAPower = 8;

std::string Megabytes(size_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

}  // namespace

size_t CachingAllocator::ClassOf(size_t bytes) {
  if (bytes <= kSmallest) return kSmallest;
  const size_t step = std::max(kSmallest, std::bit_floor(bytes) / kClassesAPower);
  if (bytes > std::numeric_limits<size_t>::max() - step) return 0;
  return (bytes + step - 1) / step * step;
}

CachingAllocator::CachingAllocator(RawMemory* raw, std::string device)
    : raw_(raw), device_(std::move(device)) {}

CachingAllocator::~CachingAllocator() {
  Trim();
  for (const auto& [memory, size] : blocks_) raw_->Give(memory);
}

void* CachingAllocator::TakeBlock(size_t size) {
  if (size == 0) return nullptr;
  const auto idle = idle_.find(size);
  if (idle != idle_.end() && !idle->second.empty()) {
    void* const memory = idle->second.back();
    idle->second.pop_back();
    cached_ -= size;
    return memory;
  }
  if (void* const memory = raw_->Take(size)) return memory;
  if (cached_ == 0) return nullptr;
  Trim();
  return raw_->Take(size);
}

void* CachingAllocator::Allocate(size_t bytes, const std::string& purpose) {
  const size_t size = ClassOf(bytes);
  void* const memory = TakeBlock(size);
  if (memory == nullptr) {
    const RawMemory::Room room = raw_->GetRoom();
    throw UnavailableError("out of memory: " + std::to_string(bytes) + " bytes for " + purpose +
                           " on " + device_ + ", where " + Megabytes(room.free) + " of " +
                           Megabytes(room.total) + " are free and this program uses " +
                           Megabytes(used_) + "; use a smaller batch or network");
  }
  blocks_[memory] = size;
  used_ += size;
  peak_ = std::max(peak_, used_);
  return memory;
}

void CachingAllocator::Free(void* memory) noexcept {
  const auto found = blocks_.find(memory);
  if (found == blocks_.end()) return;
  const size_t size = found->second;
  blocks_.erase(found);
  used_ -= size;
  cached_ += size;
  idle_[size].push_back(memory);
}

void CachingAllocator::Trim() noexcept {
  for (const auto& [size, idle] : idle_) {
    for (void* const memory : idle) raw_->Give(memory);
  }
  idle_.clear();
  cached_ = 0;
}

}  // namespace lockstep::cuda
