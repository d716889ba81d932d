#include "kernels/cpu/widening/wide_memory.h"

#include <cstdlib>
#include <new>
#include <string>

#include "kernels/unavailable.h"

namespace lockstep::cpu {
namespace {

constexpr size_t kAlignment = 64;

}  // namespace

void WideMemory::Freed::operator()(float* memory) const noexcept { std::free(memory); }

void* WideMemory::AllocateAligned(size_t bytes) { return std::aligned_alloc(kAlignment, bytes); }

// The smallest that is large enough.
std::optional<WideMemory::Piece> WideMemory::TakeKept(int64_t size) {
  const std::lock_guard<std::mutex> lock(mutex_);
  auto best = free_.end();
  for (auto piece = free_.begin(); piece != free_.end(); ++piece) {
    const bool fits = piece->size >= size && (best == free_.end() || piece->size < best->size);
    if (fits) best = piece;
  }
  if (best != free_.end()) {
    Piece piece = std::move(*best);
    free_.erase(best);
    return piece;
  }
  // Those that are too small would only be in the way of larger ones.
  if (!free_.empty()) free_.pop_back();
  return std::nullopt;
}

void WideMemory::FreeKept() {
  const std::lock_guard<std::mutex> lock(mutex_);
  free_.clear();
}

WideMemory::Piece WideMemory::Take(int64_t size) {
  if (std::optional<Piece> kept = TakeKept(size)) return std::move(*kept);
  const size_t bytes = (static_cast<size_t>(size) * sizeof(float) / kAlignment + 1) * kAlignment;
  void* memory = allocate_(bytes);
  if (memory == nullptr) {
    FreeKept();
    memory = allocate_(bytes);
  }
  if (memory == nullptr) {
    throw UnavailableError(
        "out of memory: " + std::to_string(bytes) +
        " bytes for 16-bit floats as float32 on cpu; use a smaller batch or network");
  }
  return {std::unique_ptr<float, Freed>(static_cast<float*>(memory)), size};
}

// Noexcept: destructors call it, also where something was thrown for want of memory.
void WideMemory::GiveBack(std::vector<Piece> pieces) noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  try {
    for (Piece& piece : pieces) free_.push_back(std::move(piece));
  } catch (const std::bad_alloc&) {  // the rest frees itself
  }
}

}  // namespace lockstep::cpu
