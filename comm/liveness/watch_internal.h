// Who is lost, and who is to say so. No sockets, no clock of its own: it is told what happens.
#ifndef LOCKSTEP_COMM_LIVENESS_WATCH_INTERNAL_H_
#define LOCKSTEP_COMM_LIVENESS_WATCH_INTERNAL_H_

#include <chrono>
#include <cstddef>
#include <optional>
#include <vector>

#include "comm/liveness/rank_lost.h"

namespace lockstep::liveness {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;

// Rank 0 and the deputy watch all others, the others watch these two.
struct Star {
  int rank = 0;
  int size = 1;
  int deputy = 1;

  bool IsHub(int r) const { return r == 0 || r == deputy; }
  bool Watches(int r) const { return r != rank && (IsHub(rank) || IsHub(r)); }
  // One side of each connection calls the other.
  bool Calls(int r) const { return r != rank && (r == 0 || (r == deputy && rank != 0)); }
};

struct Finding {
  int rank = -1;
  RankLost::How how = RankLost::How::kDied;
  Milliseconds silent{0};
  // The kernel has killed a process of the rank's host for want of memory since the job began.
  bool short_of_memory = false;
};

class Watch {
 public:
  struct Limits {
    Milliseconds silence;  // counted from the first Heard() of a rank on
    // For a hub that has lost the same rank to say so; a tick more where that rank has not died but
    // is silent.
    Milliseconds patience;
    Milliseconds tick;  // about the time between calls of Look()
  };
  Watch(Star star, Limits limits, Clock::time_point now);

  // `now` never goes back from call to call, here and in Look().
  void Heard(int rank, Clock::time_point now);
  // Its connection closed.
  void Closed(int rank);
  // It has said goodbye.
  void Left(int rank);
  bool HasLeft(int rank) const { return PeerOf(rank).left; }
  bool AllHaveLeft() const;

  // Whether losses of others than rank 0 are passed over. They are noted meanwhile.
  void WatchFirstOnly(bool first_only) { first_only_ = first_only; }

  // What this rank has to say, if anything.
  std::optional<Finding> Look(Clock::time_point now);

 private:
  struct Peer {
    bool known = false;
    bool left = false;
    bool closed = false;
    Milliseconds heard{0};                     // on this rank's own clock, as below
    std::optional<Milliseconds> lost_since{};  // the same
  };

  Peer& PeerOf(int rank) { return peers_[static_cast<size_t>(rank)]; }
  const Peer& PeerOf(int rank) const { return peers_[static_cast<size_t>(rank)]; }
  void Judge(Peer* peer) const;
  // Whether the hub `rank` cannot be expected to say anything.
  bool IsMute(int rank) const;
  Milliseconds Patience(RankLost::How how) const;
  void PassUntil(Clock::time_point now);

  const Star star_;
  const Limits limits_;
  std::vector<Peer> peers_;
  bool first_only_ = false;
  Clock::time_point called_;
  Milliseconds awake_{0};  // time in which this process ran
};

}  // namespace lockstep::liveness

#endif  // LOCKSTEP_COMM_LIVENESS_WATCH_INTERNAL_H_
