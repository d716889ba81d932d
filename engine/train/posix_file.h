// Descriptors that close themselves and errno turned into this project's errors.
#ifndef LOCKSTEP_ENGINE_TRAIN_POSIX_FILE_H_
#define LOCKSTEP_ENGINE_TRAIN_POSIX_FILE_H_

#include <cstddef>
#include <string>
#include <utility>

#include "kernels/error.h"

namespace lockstep {

// Owns one open file. Moved, not copied.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  ~FileDescriptor() { Close(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  // 0 or the errno of close; a second call does nothing.
  int Close() noexcept;

 private:
  int fd_ = -1;
};

// The exit code of a failed attempt to make or write a file: 71 without descriptors or memory,
// 73 when the place cannot hold it, 77 without permission, 74 for the rest (full, too big, EIO).
ExitCode WriteErrorCode(int error);

// Throws IoError "<what> <path>: <text of error>[; <advice>]" with WriteErrorCode(error).
[[noreturn]] void ThrowWriteError(const std::string& what, const std::string& path, int error);

// As above for input: a missing file, a directory or a device is 66.
[[noreturn]] void ThrowReadError(const std::string& what, const std::string& path, int error);

// The content of a regular file of at most `most_bytes`. Throws IoError 66 or 74.
std::string ReadSmallFile(const std::string& path, size_t most_bytes);

// A name fit for a one-line message: control bytes become \xNN, long ones are cut in the middle.
std::string Printable(const std::string& text);

// fsync, again only when a signal interrupted it: after a failed fsync the kernel has dropped the
// pages, so that a second success would mean nothing. Returns 0 or errno.
int SyncToDisk(int fd);

// The folder of a path ("." without one) and the last component.
std::pair<std::string, std::string> SplitPath(const std::string& path);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_POSIX_FILE_H_
