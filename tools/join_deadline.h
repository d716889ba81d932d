// That the processes of a job meet at all.
#ifndef LOCKSTEP_TOOLS_JOIN_DEADLINE_H_
#define LOCKSTEP_TOOLS_JOIN_DEADLINE_H_

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "comm/roll_call.h"
#include "kernels/error.h"
#include "tools/signals.h"

namespace lockstep::tools {

struct JoinDeadlineOptions {
  double seconds = 300.0;  // 0: none
  std::string failure_dir;
  std::vector<std::string> other_hosts = {};  // of the job, as far as the platform names them
};

// Nothing but the end of a process interrupts MPI while it waits for others. So while one of these
// lives a thread of its own looks at the clock, and ends this process with 69 and the names of
// those who are missing; and at the signals, and ends it with 75: there is nothing to save yet.
// Does nothing in a job of one process.
class JoinDeadline {
 public:
  // Throws what RollCall throws. `signals` must outlive it.
  JoinDeadline(JoinDeadlineOptions options, const StopSignals& signals);
  ~JoinDeadline();
  JoinDeadline(const JoinDeadline&) = delete;
  JoinDeadline& operator=(const JoinDeadline&) = delete;

 private:
  void Run();
  [[noreturn]] void End(const std::string& line, ExitCode code);

  const JoinDeadlineOptions options_;
  const StopSignals& signals_;
  RollCall roll_call_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool met_ = false;
  std::thread thread_;
};

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_JOIN_DEADLINE_H_
