// What threads that work on one thing together may ask of each other.
#ifndef LOCKSTEP_KERNELS_MATH_BLOCK_H_
#define LOCKSTEP_KERNELS_MATH_BLOCK_H_

#include <cstdint>

#include "kernels/math/extremum.h"
#include "kernels/math/host_device.h"

namespace lockstep::math {

// Most bytes of a value that a block combines.
inline constexpr int kSlotBytes = 24;

struct PlusOp {
  template <typename T>
  LOCKSTEP_FORMULA T operator()(T a, T b) const {
    return a + b;
  }
};
struct LargerOp {
  template <typename T>
  LOCKSTEP_FORMULA T operator()(T a, T b) const {
    return Larger(a, b);
  }
};

// A block is size() threads that run the same text, each with a rank of its own: one thread on the
// host (SerialBlock), a CUDA thread block, or the threads of a test. All of them must make each
// call below, in the same order. Block gives rank(), size(), Wait(), behind which everybody sees
// what anybody wrote before it, and slots<T>(): size() values that all of them see. The order of
// every sum is a function of size() alone.
template <typename Block>
class BlockOps {
 public:
  template <typename T>
  LOCKSTEP_FORMULA T Sum(T v) const {
    return Combine(v, 1, PlusOp{});
  }
  // NaN where one of them has it.
  template <typename T>
  LOCKSTEP_FORMULA T Max(T v) const {
    return Combine(v, 1, LargerOp{});
  }

  // With ranks as [row][column] of `columns` columns: op over the whole rows of the caller's
  // column, rank % columns. Ranks behind the last whole row give nothing. columns <= size().
  template <typename T, typename Op>
  LOCKSTEP_FORMULA T Combine(T v, int columns, const Op& op) const {
    static_assert(sizeof(T) <= kSlotBytes);
    const Block& block = static_cast<const Block&>(*this);
    T* const slots = block.template slots<T>();
    const int rank = block.rank();
    slots[rank] = v;
    block.Wait();
    const int row = rank / columns;
    for (int rows = block.size() / columns; rows > 1;) {
      const int half = (rows + 1) / 2;
      if (row < rows - half) slots[rank] = op(slots[rank], slots[rank + half * columns]);
      block.Wait();
      rows = half;
    }
    const T result = slots[rank % columns];
    block.Wait();  // before anybody uses the slots again
    return result;
  }
};

// One thread alone.
class SerialBlock : public BlockOps<SerialBlock> {
 public:
  LOCKSTEP_FORMULA int rank() const { return 0; }
  LOCKSTEP_FORMULA int size() const { return 1; }
  LOCKSTEP_FORMULA void Wait() const {}

  template <typename T, typename Op>
  LOCKSTEP_FORMULA T Combine(T v, int, const Op&) const {
    return v;
  }
  template <typename T>
  LOCKSTEP_FORMULA T Sum(T v) const {
    return v;
  }
  template <typename T>
  LOCKSTEP_FORMULA T Max(T v) const {
    return v;
  }
};

// A block algorithm as a map: each thread does one thing alone.
template <typename Algorithm>
struct ByOneThread {
  Algorithm algorithm;
  LOCKSTEP_FORMULA void operator()(int64_t i) const { algorithm(SerialBlock(), i); }
};

}  // namespace lockstep::math

#endif  // LOCKSTEP_KERNELS_MATH_BLOCK_H_
