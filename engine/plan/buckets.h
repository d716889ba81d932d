// Pieces in which flat gradients travel between ranks.
#ifndef LOCKSTEP_ENGINE_PLAN_BUCKETS_H_
#define LOCKSTEP_ENGINE_PLAN_BUCKETS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace lockstep {

// Elements of a piece of `bucket_bytes`, at least one; 0 bytes: all `count` in one piece.
inline int64_t ElementsOfBucket(size_t bucket_bytes, size_t element_bytes, int64_t count) {
  const int64_t elements =
      bucket_bytes == 0 ? count : static_cast<int64_t>(bucket_bytes / element_bytes);
  return std::max<int64_t>(elements, 1);
}

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_PLAN_BUCKETS_H_
