#include "engine/train/group_exchange.h"

#include <algorithm>

namespace lockstep {

// Each rank sends how many lanes follow, the lanes, and room for those it does not have.
std::span<const double> GroupExchange::Exchange(std::span<const double> mine, int64_t size) {
  const auto lane = static_cast<size_t>(size);
  const size_t part = 1 + most_ * lane;
  sent_.assign(part, 0.0);
  sent_[0] = static_cast<double>(mine.size() / lane);
  std::copy(mine.begin(), mine.end(), sent_.begin() + 1);
  received_.resize(part * static_cast<size_t>(group_.size()));
  group_.Gather(sent_.data(), part * sizeof(double), received_.data());

  all_.clear();
  for (size_t rank = 0; rank < static_cast<size_t>(group_.size()); ++rank) {
    if (rank == static_cast<size_t>(group_.rank())) first_ = all_.size() / lane;
    const double* from = received_.data() + rank * part;
    all_.insert(all_.end(), from + 1, from + 1 + static_cast<size_t>(from[0]) * lane);
  }
  return all_;
}

}  // namespace lockstep
