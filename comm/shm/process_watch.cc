#include "comm/shm/process_watch.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace lockstep {

ProcessWatch::ProcessWatch(std::vector<int32_t> processes) : processes_(std::move(processes)) {
  for (const int32_t process : processes_) {
    handles_.emplace_back(static_cast<int>(::syscall(SYS_pidfd_open, process, 0)));
  }
}

bool ProcessWatch::HasEnded(int index) const {
  const auto i = static_cast<size_t>(index);
  if (handles_[i]) {
    pollfd entry{.fd = handles_[i].get(), .events = POLLIN, .revents = 0};
    return ::poll(&entry, 1, 0) > 0;
  }
  return ::kill(processes_[i], 0) != 0 && errno == ESRCH;
}

}  // namespace lockstep
