#include "tools/rank_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "engine/train/host_name.h"

namespace lockstep::tools {
namespace {

// Of what waits for a reader, such as a pipe, a job would wait, too.
bool IsFile(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

void WriteLine(int fd, const std::string& line) noexcept { Console(fd).Write(line); }

}  // namespace

RankLog::RankLog(const std::string& directory, int rank, int size) {
  if (directory.empty()) return;
  std::error_code ignored;
  std::filesystem::create_directories(directory, ignored);
  const std::string path = directory + "/log-rank-" + std::to_string(rank) + ".txt";
  file_ = FileDescriptor(::open(
      path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666));
  if (file_ && !IsFile(file_.get())) file_ = FileDescriptor();
  if (!file_) return;
  WriteLine(file_.get(), "# rank " + std::to_string(rank) + " of " + std::to_string(size) + " at " +
                             HostName() + ", process " + std::to_string(::getpid()) + "\n");
}

void RankLog::End(const std::string& line) const noexcept {
  if (file_) WriteLine(file_.get(), line + "\n");
}

}  // namespace lockstep::tools
