// A heartbeat beside training: ranks notice that another one has died, hangs or cannot be reached.
#ifndef LOCKSTEP_COMM_LIVENESS_HEARTBEAT_H_
#define LOCKSTEP_COMM_LIVENESS_HEARTBEAT_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "comm/comm_progress.h"
#include "comm/liveness/rank_lost.h"
#include "engine/train/rank_group.h"

namespace lockstep {

struct HeartbeatOptions {
  std::chrono::milliseconds interval{500};  // between beats
  // A rank that nothing is heard of for so long is lost.
  std::chrono::milliseconds silence{7000};
  // So is one that does not come for so long to a collective that others wait in, and the job
  // where all are inside of collectives for so long; 0: never.
  std::chrono::milliseconds stuck{0};
  // For rank 0 to tell of a loss before others do; an interval more where a rank is silent.
  std::chrono::milliseconds patience{1000};
  // For all connections, at the start.
  std::chrono::milliseconds join{20000};
  // Rank 0 listens there, the deputy at the next one; 0: at ports of the system's choice.
  uint16_t port = 0;
  // Ranks of equal keys reach each other at 127.0.0.1; "": as HostKey() of comm/hosts.h says.
  std::string host_key = {};
};

// What a process does about it. Both run on the heartbeat's thread, at most once.
struct HeartbeatCalls {
  // This rank has found a loss, and is the one to tell people. Must not wait for other ranks.
  std::function<void(const RankLost&)> say;
  // The others have been told, or this rank was told (RankLost::told). Ends the process: the thread
  // that trains may hang in a collective, which nothing can interrupt. If it returns, there is no
  // heartbeat any more.
  std::function<void(const RankLost&)> end;
};

// Every rank keeps a TCP connection to rank 0 and one to a deputy: the first rank of another host,
// or rank 1. Both hear of every loss, rank 0 tells, the deputy does where rank 0 is lost or does
// not answer, and where both are lost each rank does. Everybody else ends because it was told.
// Beats carry the sender's progress, those of rank 0 and of the deputy in turn that of all.
//
// It has a thread of its own, which needs nothing of those that train: no load makes a rank look
// silent. Time in which this process did not run itself (stopped, or its whole machine) counts for
// nobody's silence.
//
// Ports are chosen by the system unless told otherwise, addresses and a random token exchanged over
// the group; who connects without it is dropped. The token travels in clear text: the network
// between the ranks is trusted, as it is by MPI.
class Heartbeat {
 public:
  // All ranks call it together, with the same options; `group` is used here only. Throws
  // AgreedError where ranks cannot reach each other (69), or have no descriptors left (71).
  // `progress` must outlive it.
  Heartbeat(RankGroup& group, const ProgressBoard& progress, HeartbeatOptions options,
            HeartbeatCalls calls);
  // Leaves.
  ~Heartbeat();
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;

  // Rank 0 alone has something left to do, which nothing must break off: from now on it misses
  // nobody, what it is told can wait, and the others miss it alone. All ranks call it, each when it
  // comes there.
  void LetFirstFinish() noexcept;
  // On rank 0, when it has: whoever was lost meanwhile is missed now.
  void FirstHasFinished() noexcept;
  // Says goodbye: from now on this rank misses nobody and nobody misses it. Rank 0 that has
  // finished alone stays until all others have said so, or one of them is lost. A second call does
  // nothing.
  void Leave() noexcept;
  // This rank ends by an error of its own, which it says itself: the others need not.
  void GiveUp(const std::string& why) noexcept;
  // Leave() for a signal handler that is about to call _exit.
  void LeaveFromSignal() const noexcept;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_LIVENESS_HEARTBEAT_H_
