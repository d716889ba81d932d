// Gradients in a device's memory, summed over ranks there in bfloat16.
#ifndef LOCKSTEP_COMM_DEVICE_NARROW_SUMS_H_
#define LOCKSTEP_COMM_DEVICE_NARROW_SUMS_H_

#include <cstddef>
#include <cstdint>

#include "comm/communicator.h"
#include "engine/tensor/device_memory.h"
#include "engine/tensor/tensor.h"

namespace lockstep {

// As NarrowSums for bfloat16, where the communicator reaches the device: what a rank's rounding
// lost is kept there and added to its next gradient. How sums are rounded is the communicator's.
// (float16 would need the largest element of all ranks before each piece can be rounded, which only
// the host knows.)
//
// Pack and Unpack only begin work of the device, in the thread of its kernels; Sum waits in that of
// the communicator, behind a moment that Pack has gone before.
class DeviceNarrowSums {
 public:
  // What can travel so.
  static constexpr bool CanSend(WireType type) { return type == WireType::kBfloat16; }

  // Of `size` gradients of float32. `device` outlives it.
  DeviceNarrowSums(Backend& device, bool feedback, int64_t size);

  void Pack(const void* gradients, int64_t begin, int64_t count);
  void Sum(Communicator& ranks, int64_t begin, int64_t count);
  // All gradients become the sums, which have been waited for.
  void Unpack(void* gradients);

  // Float32 of `size` elements.
  bool has_residual() const { return residual_ != nullptr; }
  Tensor Residual() const;
  void SetResidual(const Tensor& residual);

 private:
  uint16_t* Wire(int64_t begin) const { return static_cast<uint16_t*>(wire_.get()) + begin; }

  Backend& device_;
  const int64_t size_;
  DeviceMemory wire_, residual_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_DEVICE_NARROW_SUMS_H_
