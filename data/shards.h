// Data sets of which every rank holds another part.
#ifndef LOCKSTEP_DATA_SHARDS_H_
#define LOCKSTEP_DATA_SHARDS_H_

#include <cstdint>
#include <numeric>
#include <vector>

namespace lockstep {

// Ids count through the parts in the order of ranks. An epoch has as many batches as it takes for
// none to be larger than asked for, but for one sample a rank, and every rank spreads its own part
// evenly over them: all end an epoch with the same batch, and have used each sample once.
struct Shards {
  std::vector<int64_t> rows;  // of each rank's part; empty: every rank holds everything
  uint64_t fingerprint = 0;   // of all parts, the same on every rank

  bool any() const { return !rows.empty(); }
  int64_t total() const { return std::accumulate(rows.begin(), rows.end(), int64_t{0}); }
  // The id of the rank's first sample.
  int64_t first(int rank) const {
    return std::accumulate(rows.begin(), rows.begin() + rank, int64_t{0});
  }

  int64_t Batches(int64_t batch_size) const { return (total() + batch_size - 1) / batch_size; }
  // How many of its samples a rank uses in the first `begun` of so many batches. Ranks begin apart,
  // so that what is left over of their parts does not meet in the same batches.
  int64_t Used(int rank, int64_t begun, int64_t batches) const {
    const auto ranks = static_cast<int64_t>(rows.size());
    return (rows[static_cast<size_t>(rank)] * begun + rank * batches / ranks) / batches;
  }
  // All ranks.
  int64_t AllUsed(int64_t begun, int64_t batches) const {
    int64_t used = 0;
    for (size_t rank = 0; rank < rows.size(); ++rank) {
      used += Used(static_cast<int>(rank), begun, batches);
    }
    return used;
  }
};

}  // namespace lockstep

#endif  // LOCKSTEP_DATA_SHARDS_H_
