#include "kernels/cpu/widening/wide_memory.h"

#include <cstdlib>
#include <string>
#include <utility>

#include "kernels/error.h"

namespace lockstep::cpu {
namespace {

WideMemory::Piece Allocate(int64_t size) {
  constexpr size_t kAlignment = 64;
  const size_t bytes = (static_cast<size_t>(size) * sizeof(float) / kAlignment + 1) * kAlignment;
  auto* const memory = static_cast<float*>(std::aligned_alloc(kAlignment, bytes));
  if (memory == nullptr) {
    throw DeviceError("out of memory: " + std::to_string(bytes) +
                      " bytes for 16-bit floats as float32 on cpu; use a smaller batch or network");
  }
  return {std::unique_ptr<float, WideMemory::Freed>(memory), size};
}

}  // namespace

void WideMemory::Freed::operator()(float* memory) const noexcept { std::free(memory); }

// The smallest that is large enough.
WideMemory::Piece WideMemory::Take(int64_t size) {
  {
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
  }
  return Allocate(size);
}

void WideMemory::GiveBack(std::vector<Piece> pieces) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (Piece& piece : pieces) free_.push_back(std::move(piece));
}

}  // namespace lockstep::cpu
