// That a job has lost one of its ranks.
#ifndef LOCKSTEP_COMM_LIVENESS_RANK_LOST_H_
#define LOCKSTEP_COMM_LIVENESS_RANK_LOST_H_

#include <cstdint>
#include <string>

namespace lockstep {

struct RankLost {
  enum class How : uint8_t {
    kDied,    // its connection closed, and it had not said goodbye
    kSilent,  // nothing is heard of it: stopped, or cut off
    kStuck,   // it is there, but does not come to a collective that others wait in
    kGaveUp,  // it ends by an error of its own, and says so itself
    kHangs,   // all are inside of collectives and none gets out; `rank` is one that is furthest
              // behind
  };

  int rank = -1;
  How how = How::kDied;
  // One line of at most 1000 bytes: rank, host, process, what to do, and every rank's newest
  // collective as far as they fit; for kGaveUp what it said.
  std::string line = {};
  // Every rank's newest collective, a line each. Only where this rank found it.
  std::string table = {};
  // Another rank has found it and tells people.
  bool told = false;
};

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_LIVENESS_RANK_LOST_H_
