#include <algorithm>

#include "comm/liveness/watch_internal.h"

namespace lockstep::liveness {

Watch::Watch(Star star, Limits limits, Clock::time_point now)
    : star_(star), limits_(limits), peers_(static_cast<size_t>(star.size)), called_(now) {}

void Watch::Heard(int rank, Clock::time_point now) {
  PassUntil(now);
  Peer& peer = PeerOf(rank);
  peer.known = true;
  peer.heard = awake_;
}

void Watch::Closed(int rank) { PeerOf(rank).closed = true; }

void Watch::Left(int rank) { PeerOf(rank).left = true; }

bool Watch::AllHaveLeft() const {
  return std::all_of(peers_.begin(), peers_.end(),
                     [](const Peer& peer) { return peer.left || !peer.known; });
}

void Watch::Judge(Peer* peer) const {
  const bool lost =
      peer->known && !peer->left && (peer->closed || awake_ - peer->heard >= limits_.silence);
  if (!lost) {
    peer->lost_since.reset();
  } else if (!peer->lost_since) {
    peer->lost_since = awake_;
  }
}

bool Watch::IsMute(int rank) const {
  return PeerOf(rank).left || PeerOf(rank).lost_since.has_value();
}

// A connection closes for all at once; silence the hubs notice up to a tick apart.
Milliseconds Watch::Patience(RankLost::How how) const {
  const bool all_hubs_mute = IsMute(0) && (star_.rank == star_.deputy || IsMute(star_.deputy));
  if (star_.rank == 0 || all_hubs_mute) return Milliseconds(0);
  return how == RankLost::How::kSilent ? limits_.patience + limits_.tick : limits_.patience;
}

// A call that comes late says that this process has not run: others may have spoken meanwhile, and
// what they said is still to be read. More than two ticks never count at once. What is less than a
// millisecond counts at the next call: there may be many in one.
void Watch::PassUntil(Clock::time_point now) {
  const auto passed = std::chrono::duration_cast<Milliseconds>(now - called_);
  awake_ += std::min(passed, 2 * limits_.tick);
  called_ += passed;
}

std::optional<Finding> Watch::Look(Clock::time_point now) {
  PassUntil(now);
  for (Peer& peer : peers_) Judge(&peer);
  std::optional<Finding> first;
  Milliseconds since{0};
  for (int rank = 0; rank < star_.size; ++rank) {
    const Peer& peer = PeerOf(rank);
    if (first_only_ && rank != 0) break;
    if (!peer.lost_since || (first && *peer.lost_since >= since)) continue;
    const auto how = peer.closed ? RankLost::How::kDied : RankLost::How::kSilent;
    if (awake_ - *peer.lost_since < Patience(how)) continue;
    since = *peer.lost_since;
    first = Finding{.rank = rank, .how = how, .silent = awake_ - peer.heard};
  }
  return first;
}

}  // namespace lockstep::liveness
