// Memory for float32 copies of 16-bit arrays, from call to call.
#ifndef LOCKSTEP_KERNELS_CPU_WIDENING_WIDE_MEMORY_H_
#define LOCKSTEP_KERNELS_CPU_WIDENING_WIDE_MEMORY_H_

#include <cstdint>
#include <memory>
#include <mutex>
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

  // 64-byte aligned. DeviceError where there is none.
  Piece Take(int64_t size);
  void GiveBack(std::vector<Piece> pieces);

 private:
  std::mutex mutex_;
  std::vector<Piece> free_;
};

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_WIDENING_WIDE_MEMORY_H_
