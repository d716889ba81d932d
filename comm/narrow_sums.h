// Gradients summed over ranks in 16 bits.
#ifndef LOCKSTEP_COMM_NARROW_SUMS_H_
#define LOCKSTEP_COMM_NARROW_SUMS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "comm/communicator.h"
#include "kernels/dtype.h"

namespace lockstep {

// Each rank rounds its gradients to 16 bits, and the sum is rounded once more where it is made.
// With feedback what a rank's rounding lost is kept and added to its next gradient, so that nothing
// is lost for good however small it is; what the second rounding loses is not fed back.
//
// float16 has no room for sums of gradients as they come. Each piece is multiplied by a power of
// two before it travels, so that the largest sum that its elements could make is between 2^14 and
// 2^15: exact but for what becomes subnormal, 2^-28 of the piece's largest element. Ranks agree on
// it by the largest element that any of them has, one number that travels ahead of the piece.
// (Means instead of sums would need no such number, but keep gradients of any size from overflowing
// only by chance.) bfloat16 has the range of float32 and needs none.
//
// Values that are not finite travel as they are and leave no residual.
class NarrowSums {
 public:
  // `type` is kFloat16 or kBfloat16; `dtype` and `size` are those of the flat gradients; `wire` is
  // memory for `size` elements of 16 bits that Allreduce need not copy.
  NarrowSums(WireType type, bool feedback, DType dtype, int64_t size,
             std::shared_ptr<std::byte> wire);

  // gradients[begin, begin + count) become the sums over all ranks. Every rank calls it for the
  // same pieces in the same order. Of one rank nothing is rounded, and a residual that is there is
  // added.
  void Sum(Communicator& ranks, void* gradients, int64_t begin, int64_t count);

  // What this rank has not sent yet: elements of `dtype`, empty without feedback.
  std::vector<std::byte>& residual() { return residual_; }

 private:
  template <typename T>
  void SumOf(Communicator& ranks, T* gradients, int64_t begin, int64_t count);
  template <typename T>
  T* ResidualAt(int64_t begin) {
    return residual_.empty() ? nullptr : reinterpret_cast<T*>(residual_.data()) + begin;
  }

  WireType type_;
  DType dtype_;
  std::shared_ptr<std::byte> wire_;
  std::vector<std::byte> residual_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_NARROW_SUMS_H_
