// Standard output of a program that must outlive its reader.
#ifndef LOCKSTEP_TOOLS_CONSOLE_H_
#define LOCKSTEP_TOOLS_CONSOLE_H_

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

namespace lockstep::tools {

// Writes text to a descriptor at once, unbuffered. When the reader is gone ("| head -1") or the
// disk is full, output ends and the program goes on; SIGPIPE must be ignored (StopSignals).
//
// On a terminal there can be one status line, below all other text: Write() puts its text in the
// status line's place. Any thread may write.
class Console {
 public:
  // A launcher gives its processes terminals of its own, which are no person's screen.
  enum class Kind : uint8_t { kWhatItIs, kNoTerminal };
  static constexpr int kNowhere = -1;

  // The descriptor stays the caller's.
  explicit Console(int fd = 1, Kind kind = Kind::kWhatItIs, size_t most_bytes = SIZE_MAX);
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  void Write(std::string_view text) noexcept;
  // Shows `line`, cut to the terminal's width, until the next Status() or Write(); "" removes it.
  // Nothing happens where there is no terminal.
  void Status(std::string_view line) noexcept;

  bool is_terminal() const { return terminal_; }
  // Characters in a line now; 80 where nobody knows.
  int columns() const noexcept;
  // Whether output has ended.
  bool broken() const noexcept;
  // For programs whose output is their result. Throws IoError (74) when some of it was lost, unless
  // its reader did not want more.
  void CheckWritten() const;

 private:
  void WriteAll(std::string_view bytes) noexcept;

  const int fd_;
  const bool terminal_;
  mutable std::mutex mutex_;
  bool status_shown_ = false;
  bool broken_ = false;
  size_t left_;    // bytes that may still be written
  int error_ = 0;  // errno of the write() that output ended with
};

// All of a program's output, and CheckWritten().
void PrintResult(std::string_view text);

// Opens /dev/null for each of the descriptors 0, 1 and 2 that is closed: else the next file opened,
// perhaps a model, would be standard output. Call first in main.
void EnsureStandardDescriptors() noexcept;

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_CONSOLE_H_
