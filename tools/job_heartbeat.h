// What a training job does about processes that it loses.
#ifndef LOCKSTEP_TOOLS_JOB_HEARTBEAT_H_
#define LOCKSTEP_TOOLS_JOB_HEARTBEAT_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "comm/comm_group.h"
#include "comm/liveness/heartbeat.h"
#include "tools/rank_log.h"

namespace lockstep::tools {

struct JobHeartbeatOptions {
  // Seconds without a word from a process after which it counts as lost; 0: nobody listens.
  double silence = 7.0;
  // Seconds that others wait for one in a collective, after which it counts as lost; 0: for ever.
  double stuck = 0.0;
  // Of rank 0, the next one being the deputy's; 0: the system chooses.
  uint16_t port = 0;
  std::string failure_dir;  // where a loss is written to; "": nowhere
  // Where this process also says what it ended with, as soon as there is one; outlives the
  // heartbeat.
  const std::atomic<const RankLog*>* log = nullptr;
};

// All ranks call it together; rank 0's seconds and port are those of all, and null is returned on
// all where nobody listens. When a rank is lost, this process ends with 69, whatever it is doing;
// one of them says why, on standard error and in the failure file.
std::unique_ptr<Heartbeat> StartHeartbeat(CommGroup& group, const JobHeartbeatOptions& options);

// Where a collective has failed: gives the heartbeat, which knows more, time to say why and to end
// this process.
void AwaitHeartbeat() noexcept;

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_JOB_HEARTBEAT_H_
