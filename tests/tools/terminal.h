// Both ends of a pipe, and a terminal with somebody in front of it.
#ifndef LOCKSTEP_TESTS_TOOLS_TERMINAL_H_
#define LOCKSTEP_TESTS_TOOLS_TERMINAL_H_

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <unistd.h>

#include <stdexcept>
#include <string>

namespace lockstep::tools {

// All that can be read without waiting for more; waits for the first byte.
inline std::string ReadAvailable(int fd) {
  char buffer[65536];
  const ssize_t got = ::read(fd, buffer, sizeof(buffer));
  return got > 0 ? std::string(buffer, static_cast<size_t>(got)) : std::string();
}

class Pipe {
 public:
  Pipe() {
    if (::pipe(ends_) != 0) throw std::runtime_error("no pipe");
  }
  ~Pipe() {
    CloseReader();
    ::close(ends_[1]);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  int writer() const { return ends_[1]; }
  std::string Read() const { return ReadAvailable(ends_[0]); }
  // What has been written since, "" where that is nothing.
  std::string Poll() const {
    ::fcntl(ends_[0], F_SETFL, O_NONBLOCK);
    return ReadAvailable(ends_[0]);
  }
  void CloseReader() {
    if (ends_[0] >= 0) ::close(ends_[0]);
    ends_[0] = -1;
  }

 private:
  int ends_[2];
};

class Terminal {
 public:
  explicit Terminal(unsigned short columns) {
    winsize size{};
    size.ws_col = columns;
    size.ws_row = 24;
    if (::openpty(&screen_, &program_, nullptr, nullptr, &size) != 0) {
      throw std::runtime_error("no terminal");
    }
  }
  ~Terminal() {
    ::close(screen_);
    ::close(program_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  int fd() const { return program_; }
  // What the screen has received; "\n" arrives as "\r\n". The kernel hands it over a little later:
  // this waits for the first byte, and then until there is silence.
  std::string Read() const {
    std::string text;
    pollfd ready{screen_, POLLIN, 0};
    while (::poll(&ready, 1, text.empty() ? 2000 : 50) > 0) text += ReadAvailable(screen_);
    return text;
  }

 private:
  int screen_ = -1;
  int program_ = -1;
};

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TESTS_TOOLS_TERMINAL_H_
