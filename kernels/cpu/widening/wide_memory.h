// Memory for float32 copies of 16-bit arrays, from call to call.
#ifndef LOCKSTEP_KERNELS_CPU_WIDENING_WIDE_MEMORY_H_
#define LOCKSTEP_KERNELS_CPU_WIDENING_WIDE_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace lockstep::cpu {

// Keeps what it is given back: the system would have to clear large pieces each time. As much as
// all calls under way at once have needed, no more than a few arrays of a network's largest layer.
// Any thread.
class WideMemory {
 public:
  struct Freed {
    void operator()(float* memory) const noexcept;
  };
  struct Piece {
    std::unique_ptr<float, Freed> memory;
    int64_t size = 0;  // floats, at least what was asked for
  };
  // So many bytes, a multiple of 64 and aligned to it, that std::free takes; null: there are none.
  using Allocator = std::function<void*(size_t bytes)>;

  explicit WideMemory(Allocator allocate = AllocateAligned) : allocate_(std::move(allocate)) {}

  // 64-byte aligned. UnavailableError where there is none, though nothing is kept any more.
  Piece Take(int64_t size);
  // Frees those that it has no room to note.
  void GiveBack(std::vector<Piece> pieces) noexcept;

 private:
  static void* AllocateAligned(size_t bytes);
  std::optional<Piece> TakeKept(int64_t size);
  void FreeKept();

  const Allocator allocate_;
  std::mutex mutex_;
  std::vector<Piece> free_;
};

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_WIDENING_WIDE_MEMORY_H_
