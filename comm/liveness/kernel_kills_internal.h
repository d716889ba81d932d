// Processes that end because the system is short of memory.
#ifndef LOCKSTEP_COMM_LIVENESS_KERNEL_KILLS_INTERNAL_H_
#define LOCKSTEP_COMM_LIVENESS_KERNEL_KILLS_INTERNAL_H_

#include <cstdint>
#include <optional>
#include <string>

namespace lockstep::liveness {

// How many the kernel has killed for want of memory, of the machine or of a control group, since
// it started: "oom_kill N" of /proc/vmstat. Nothing where it does not count them.
std::optional<int64_t> KernelKills(const std::string& vmstat = "/proc/vmstat");

}  // namespace lockstep::liveness

#endif  // LOCKSTEP_COMM_LIVENESS_KERNEL_KILLS_INTERNAL_H_
