// Notices that processes of this host have ended.
#ifndef LOCKSTEP_COMM_SHM_PROCESS_WATCH_H_
#define LOCKSTEP_COMM_SHM_PROCESS_WATCH_H_

#include <cstdint>
#include <vector>

#include "engine/train/posix_file.h"

namespace lockstep {

class ProcessWatch {
 public:
  explicit ProcessWatch(std::vector<int32_t> processes);

  const std::vector<int32_t>& processes() const { return processes_; }
  // Also while its parent has not asked for its status yet.
  bool HasEnded(int index) const;

 private:
  std::vector<int32_t> processes_;
  std::vector<FileDescriptor> handles_;  // pidfds; where there is none, signal 0 is tried
};

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_SHM_PROCESS_WATCH_H_
