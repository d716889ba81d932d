#include "tools/share_out.h"

#include <string>
#include <vector>

#include "data/fingerprint.h"
#include "engine/text.h"
#include "engine/train/batch_cut.h"

namespace lockstep::tools {
namespace {

// What one rank has loaded.
struct Loaded {
  uint64_t fingerprint = 0;
  int64_t rows = 0;

  friend bool operator==(const Loaded&, const Loaded&) = default;
};

// A rank's place among those that have the same, and how many they are, itself included.
struct Place {
  int64_t index = 0, count = 1;
};

Place PlaceOf(size_t rank, const std::vector<Loaded>& all) {
  Place place;
  for (size_t other = 0; other < all.size(); ++other) {
    if (other == rank || all[other] != all[rank]) continue;
    ++place.count;
    if (other < rank) ++place.index;
  }
  return place;
}

// Of all parts in their order.
uint64_t FingerprintOf(const std::vector<Loaded>& all, const std::vector<int64_t>& rows) {
  std::vector<int64_t> values;
  for (size_t rank = 0; rank < all.size(); ++rank) {
    values.push_back(static_cast<int64_t>(all[rank].fingerprint));
    values.push_back(rows[rank]);
  }
  return Fingerprint(Tensor::FromValues<int64_t>(Shape({std::ssize(values)}), values));
}

}  // namespace

Shards ShareOut(RankGroup& group, Dataset* loaded) {
  const std::vector<Loaded> all =
      GatherValues(group, Loaded{loaded->fingerprint(), loaded->size()});
  Shards shards;
  for (size_t rank = 0; rank < all.size(); ++rank) {
    const Place place = PlaceOf(rank, all);
    if (all[rank].rows < place.count) {
      throw AgreedError(ExitCode::kBadData,
                        Counted(place.count, "process", "processes") + ", rank " +
                            std::to_string(rank) + " among them, share a part of the data of " +
                            Counted(all[rank].rows, "row") +
                            "; start fewer of them or spread the data more evenly");
    }
    shards.rows.push_back(PartOf(all[rank].rows, place.index, place.count).size());
  }
  shards.fingerprint = FingerprintOf(all, shards.rows);
  const auto me = static_cast<size_t>(group.rank());
  const Place place = PlaceOf(me, all);
  const Range mine = PartOf(all[me].rows, place.index, place.count);
  *loaded = loaded->Slice(mine.begin, mine.end);
  return shards;
}

}  // namespace lockstep::tools
