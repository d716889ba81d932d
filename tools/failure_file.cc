#include "tools/failure_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <exception>

#include "tools/text.h"

namespace lockstep::tools {
namespace {

bool WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t wrote = ::write(fd, bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(wrote));
  }
  return true;
}

}  // namespace

bool WriteFailureFile(const std::string& output_dir, std::string_view message) noexcept {
  if (output_dir.empty()) return false;
  try {
    const std::string line = OneLine(message, 1023) + "\n";
    const std::string path = output_dir + "/failure";
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0) return false;
    const bool written = WriteAll(fd, line) && ::fsync(fd) == 0;
    return ::close(fd) == 0 && written;
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace lockstep::tools
