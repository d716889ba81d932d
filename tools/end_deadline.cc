#include "tools/end_deadline.h"

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <utility>

#include "kernels/error.h"
#include "tools/console.h"
#include "tools/failure_file.h"
#include "tools/text.h"

namespace lockstep::tools {

EndDeadline::EndDeadline(double seconds, bool is_first, std::string name, std::string failure_dir)
    : seconds_(seconds),
      is_first_(is_first),
      name_(std::move(name)),
      failure_dir_(std::move(failure_dir)) {
  if (seconds_ == 0.0) return;
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { Run(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

EndDeadline::~EndDeadline() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    parted_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void EndDeadline::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  const std::chrono::duration<double> limit(seconds_ + (is_first_ ? 0.0 : 1.0));
  if (changed_.wait_for(lock, limit, [this] { return parted_; })) return;
  const std::string line = name_ + ": everything is saved, but MPI has not ended for " +
                           FormatG(seconds_) +
                           " s: another process is stopped or cannot be reached";
  Console(2).Write("lockstep: " + OneLine(line) + "\n");
  WriteFailureFile(failure_dir_, line);
  ::_exit(static_cast<int>(ExitCode::kPeerLost));
}

}  // namespace lockstep::tools
