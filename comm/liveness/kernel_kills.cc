#include <fstream>

#include "comm/liveness/kernel_kills_internal.h"

namespace lockstep::liveness {

std::optional<int64_t> KernelKills(const std::string& vmstat) {
  std::ifstream in(vmstat);
  int64_t count = 0;
  for (std::string name; in >> name >> count;) {
    if (name == "oom_kill") return count;
  }
  return std::nullopt;
}

}  // namespace lockstep::liveness
