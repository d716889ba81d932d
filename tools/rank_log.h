// The words of a process that does not print.
#ifndef LOCKSTEP_TOOLS_RANK_LOG_H_
#define LOCKSTEP_TOOLS_RANK_LOG_H_

#include <string>

#include "engine/train/posix_file.h"
#include "tools/console.h"

namespace lockstep::tools {

// <directory>/log-rank-<rank>.txt, begun anew by each job: what this rank would have printed, up to
// a bound, and what it ended with. Its first line says where it runs. It helps to find mistakes and
// is worth none of its own: a file that cannot be written is left out.
class RankLog {
 public:
  static constexpr size_t kMostBytes = size_t{1} << 20;

  RankLog(const std::string& directory, int rank, int size);

  // For a Console of at most kMostBytes; the file stays open as long as this lives.
  int fd() const { return file_ ? file_.get() : Console::kNowhere; }
  // Behind everything, whatever the bound says.
  void End(const std::string& line) const noexcept;

 private:
  FileDescriptor file_;
};

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_RANK_LOG_H_
