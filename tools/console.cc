#include "tools/console.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <new>

#include "kernels/error.h"

namespace lockstep::tools {
namespace {

// To the line's start, and clear from there to the screen's end.
constexpr std::string_view kEraseLine = "\r\033[J";

// The longest prefix of at most `columns` characters; UTF-8 characters count one each.
std::string_view CutToColumns(std::string_view line, int columns) {
  int used = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    const bool starts_character = (static_cast<unsigned char>(line[i]) & 0xC0) != 0x80;
    if (starts_character && used++ == columns) return line.substr(0, i);
  }
  return line;
}

}  // namespace

Console::Console(int fd, Kind kind, size_t most_bytes)
    : fd_(fd), terminal_(kind == Kind::kWhatItIs && ::isatty(fd) == 1), left_(most_bytes) {}

void Console::Write(std::string_view text) noexcept {
  const std::lock_guard lock(mutex_);
  if (status_shown_) WriteAll(kEraseLine);
  status_shown_ = false;
  if (text.size() <= left_) {
    left_ -= text.size();
    return WriteAll(text);
  }
  if (left_ > 0) WriteAll("# what follows is left out\n");
  left_ = 0;
}

void Console::Status(std::string_view line) noexcept {
  if (!terminal_) return;
  const std::lock_guard lock(mutex_);
  if (line.empty() && !status_shown_) return;
  try {
    // In one piece, which does not flicker. The last column stays free: it would wrap.
    WriteAll(std::string(kEraseLine).append(CutToColumns(line, columns() - 1)));
    status_shown_ = !line.empty();
  } catch (const std::bad_alloc&) {
    // The line that stands there will do.
  }
}

int Console::columns() const noexcept {
  struct winsize size {};
  const bool known = ::ioctl(fd_, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
  return known ? size.ws_col : 80;
}

bool Console::broken() const noexcept {
  const std::lock_guard lock(mutex_);
  return broken_;
}

void Console::CheckWritten() const {
  const std::lock_guard lock(mutex_);
  if (!broken_ || error_ == EPIPE) return;
  throw IoError(std::string("cannot write the standard output: ") + std::strerror(error_));
}

void Console::WriteAll(std::string_view bytes) noexcept {
  while (!bytes.empty() && !broken_) {
    const ssize_t wrote = ::write(fd_, bytes.data(), bytes.size());
    if (wrote >= 0) {
      bytes.remove_prefix(static_cast<size_t>(wrote));
    } else if (errno == EAGAIN) {
      // Somebody who shares the descriptor made it non-blocking.
      pollfd ready{fd_, POLLOUT, 0};
      ::poll(&ready, 1, -1);
    } else if (errno != EINTR) {
      broken_ = true;
      error_ = errno;
    }
  }
}

void PrintResult(std::string_view text) {
  Console console(1);
  console.Write(text);
  console.CheckWritten();
}

void EnsureStandardDescriptors() noexcept {
  for (int fd = 0; fd < 3; ++fd) {
    // open() returns the lowest free descriptor, which is fd: those below are open by now.
    if (::fcntl(fd, F_GETFD) < 0) [[maybe_unused]]
      const int opened = ::open("/dev/null", O_RDWR);
  }
}

}  // namespace lockstep::tools
