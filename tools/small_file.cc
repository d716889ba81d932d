#include "tools/small_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "kernels/error.h"

namespace lockstep::tools {
namespace {

constexpr off_t kMaxBytes = off_t{4} << 20;

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

}  // namespace

std::optional<std::string> ReadSmallFile(const std::string& path) {
  // O_NONBLOCK: a pipe without a writer must not hold the program up.
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.fd < 0 && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  struct stat status;
  if (file.fd < 0 || ::fstat(file.fd, &status) != 0) {
    const ExitCode code = errno == EACCES ? ExitCode::kNoPermission : ExitCode::kIo;
    throw IoError(path + ": cannot be opened: " + std::strerror(errno), code);
  }
  if (!S_ISREG(status.st_mode)) {
    throw IoError(path + ": not a regular file", ExitCode::kNoInput);
  }
  if (status.st_size > kMaxBytes) {
    throw IoError(path + ": " + std::to_string(status.st_size) +
                      " bytes; a configuration file has " + "at most " + std::to_string(kMaxBytes),
                  ExitCode::kBadData);
  }
  std::string bytes(static_cast<size_t>(status.st_size), '\0');
  size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t got = ::read(file.fd, bytes.data() + filled, bytes.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw IoError(path + ": cannot be read: " + std::strerror(errno));
    if (got == 0) break;
    filled += static_cast<size_t>(got);
  }
  bytes.resize(filled);
  return bytes;
}

}  // namespace lockstep::tools
