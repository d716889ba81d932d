#include "engine/train/rank_clock.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace lockstep {

void RankClock::Add(const std::vector<Passage>& of_ranks) {
  for (size_t rank = 0; rank < passages_.size(); ++rank) {
    passages_[rank].push_back(of_ranks[rank]);
    if (passages_[rank].size() > kWindow) passages_[rank].pop_front();
  }
}

// Where drift has made the two bounds cross, the truth has moved between them.
ClockOffset RankClock::Offset(int rank, int reference) const {
  if (rank == reference) return {};
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const auto& other = passages_[static_cast<size_t>(rank)];
  const auto& mine = passages_[static_cast<size_t>(reference)];
  if (mine.empty()) return {.seconds = 0.0, .error = kInfinity};
  double low = -kInfinity, high = kInfinity;
  for (size_t i = 0; i < mine.size(); ++i) {
    low = std::max(low, other[i].enter - mine[i].exit);
    high = std::min(high, other[i].exit - mine[i].enter);
  }
  return {.seconds = 0.5 * (low + high), .error = 0.5 * std::abs(high - low)};
}

}  // namespace lockstep
