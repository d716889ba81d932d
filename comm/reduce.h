// Element-wise sums and extrema of the ranks' buffers, and how buffers are shared out among ranks.
#ifndef LOCKSTEP_COMM_REDUCE_H_
#define LOCKSTEP_COMM_REDUCE_H_

#include <cstdint>
#include <span>

#include "comm/communicator.h"

namespace lockstep {

// Every output's element i becomes sources[0][i] op sources[1][i] op ..., from left to right. An
// output may be one of the sources; otherwise they do not overlap. kMin and kMax give a NaN when
// any source has one. At least one source.
void Reduce(std::span<const void* const> sources, std::span<void* const> outputs, int64_t count,
            WireType type, ReduceOp op);
// The same, and returns whether all results are finite.
bool ReduceAndCheck(std::span<const void* const> sources, std::span<void* const> outputs,
                    int64_t count, WireType type, ReduceOp op);

// Whether all elements are finite, as integers are.
bool AllFinite(const void* data, int64_t count, WireType type);

struct Part {
  int64_t begin = 0, end = 0;
  int64_t size() const { return end - begin; }
};

// What rank `rank` of `size` makes of `count` elements: parts are contiguous, in the order of the
// ranks, and differ by at most one element.
constexpr Part PartOf(int64_t count, int rank, int size) {
  return {count * rank / size, count * (rank + 1) / size};
}

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_REDUCE_H_
