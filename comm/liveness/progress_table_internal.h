// What every rank of a job was last known to do.
#ifndef LOCKSTEP_COMM_LIVENESS_PROGRESS_TABLE_INTERNAL_H_
#define LOCKSTEP_COMM_LIVENESS_PROGRESS_TABLE_INTERNAL_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "comm/liveness/frame_internal.h"
#include "comm/liveness/peers_internal.h"
#include "comm/liveness/watch_internal.h"

namespace lockstep::liveness {

RankState StateOf(int rank, const CommProgress& progress, Clock::time_point now);

class ProgressTable {
 public:
  explicit ProgressTable(int size) : known_(static_cast<size_t>(size)) {}

  // Keeps the newer of what is known; ranks that do not exist are passed over.
  void Update(const RankState& state, Clock::time_point now);
  RankState At(int rank, Clock::time_point now) const;
  // Up to `most` of them, the next ones with every call.
  std::vector<RankState> NextPart(size_t most, Clock::time_point now);

  // A rank that has not come for `limit` to the newest collective that any rank waits in.
  // `has_left(rank)` is true for those that nobody waits for.
  template <typename HasLeft>
  std::optional<int> FindMissing(Milliseconds limit, Clock::time_point now,
                                 const HasLeft& has_left) const;
  // Where all ranks but those that have left have been inside of collectives for `limit`: the one
  // that is furthest behind.
  template <typename HasLeft>
  std::optional<int> FindHanging(Milliseconds limit, Clock::time_point now,
                                 const HasLeft& has_left) const;

  int size() const { return static_cast<int>(known_.size()); }

 private:
  struct Known {
    RankState state{};
    bool any = false;
    Clock::time_point said{};   // when the rank said it, on our clock
    Clock::time_point since{};  // when it got into that state, the same
  };

  bool HasWaited(const Known& known, Milliseconds limit, Clock::time_point now) const;
  // The newest collective that a rank has waited in for `limit`; 0: none.
  uint64_t LongWait(Milliseconds limit, Clock::time_point now) const;

  std::vector<Known> known_;
  int next_ = 0;
};

template <typename HasLeft>
std::optional<int> ProgressTable::FindMissing(Milliseconds limit, Clock::time_point now,
                                              const HasLeft& has_left) const {
  const uint64_t number = LongWait(limit, now);
  for (int rank = 0; rank < size(); ++rank) {
    const Known& known = known_[static_cast<size_t>(rank)];
    if (known.any && known.state.number < number && !has_left(rank)) return rank;
  }
  return std::nullopt;
}

template <typename HasLeft>
std::optional<int> ProgressTable::FindHanging(Milliseconds limit, Clock::time_point now,
                                              const HasLeft& has_left) const {
  std::optional<int> behind;
  for (int rank = 0; rank < size(); ++rank) {
    if (has_left(rank)) continue;
    const Known& known = known_[static_cast<size_t>(rank)];
    if (!HasWaited(known, limit, now)) return std::nullopt;
    if (!behind || known.state.number < known_[static_cast<size_t>(*behind)].state.number) {
      behind = rank;
    }
  }
  return behind;
}

// The words of RankLost.
RankLost Describe(const Finding& finding, const std::vector<Peer>& peers,
                  const ProgressTable& table, Clock::time_point now);

}  // namespace lockstep::liveness

#endif  // LOCKSTEP_COMM_LIVENESS_PROGRESS_TABLE_INTERNAL_H_
