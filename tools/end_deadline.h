// That the processes of a job part.
#ifndef LOCKSTEP_TOOLS_END_DEADLINE_H_
#define LOCKSTEP_TOOLS_END_DEADLINE_H_

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace lockstep::tools {

// MPI's end waits for all processes, and nothing interrupts it; no heartbeat watches any more.
// While one of these lives a thread looks at the clock, and ends this process with 69 when that has
// taken too long: everything is saved by then. Rank 0 says so, others a second later where it has
// not ended the job.
class EndDeadline {
 public:
  // `seconds` 0: none. `name` is this process's in messages.
  EndDeadline(double seconds, bool is_first, std::string name, std::string failure_dir);
  ~EndDeadline();
  EndDeadline(const EndDeadline&) = delete;
  EndDeadline& operator=(const EndDeadline&) = delete;

 private:
  void Run();

  const double seconds_;
  const bool is_first_;
  const std::string name_;
  const std::string failure_dir_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool parted_ = false;
  std::thread thread_;
};

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_END_DEADLINE_H_
