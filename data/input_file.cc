#include "data/input_file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "data/damage.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

// A read of an ordinary file runs to its end before any signal is handled.
constexpr size_t kReadBytes = 4 << 20;

[[noreturn]] void FailToOpen(const std::string& path, int error) {
  const std::string message =
      "cannot open " + Printable(path, 400) + ": " + std::strerror(error) + OpenAdvice(error);
  switch (error) {
    case EACCES:
    case EPERM:
      throw IoError(message, ExitCode::kNoPermission);
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      throw IoError(message, ExitCode::kNoResources);
    case EIO:
      throw IoError(message, ExitCode::kIo);
    default:
      throw IoError(message, ExitCode::kNoInput);
  }
}

const char* KindOf(const struct stat& status) {
  if (S_ISDIR(status.st_mode)) return "a directory";
  if (S_ISFIFO(status.st_mode)) return "a named pipe";
  if (S_ISSOCK(status.st_mode)) return "a socket";
  return "a device";
}

// Files of the kernel claim to be ordinary and empty, and may never end.
bool IsKernelFile(int descriptor) {
  struct statfs system {};
  if (::fstatfs(descriptor, &system) != 0) return false;
  return system.f_type == PROC_SUPER_MAGIC || system.f_type == SYSFS_MAGIC;
}

}  // namespace

std::string OpenAdvice(int error) {
  switch (error) {
    case EACCES:
    case EPERM:
      return "; let this user read it";
    case EMFILE:
      return "; raise `ulimit -n`";
    case ENOENT:
    case ENOTDIR:
      return "; name one that exists";
    default:
      return "";
  }
}

InputFile InputFile::Open(const std::string& path) {
  // O_NONBLOCK: opening a pipe nobody writes to must not wait.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (descriptor < 0) FailToOpen(path, errno);
  std::shared_ptr<const int> owner(new int(descriptor), [](const int* d) {
    ::close(*d);
    delete d;
  });
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) FailToOpen(path, errno);
  if (!S_ISREG(status.st_mode) || IsKernelFile(descriptor)) {
    const char* kind = S_ISREG(status.st_mode) ? "a file of the kernel" : KindOf(status);
    throw IoError(
        "cannot read " + Printable(path, 400) + ": it is " + kind + ", not an ordinary file",
        ExitCode::kNoInput);
  }
  InputFile file(path, static_cast<uint64_t>(status.st_size));
  file.descriptor_ = std::move(owner);
  return file;
}

InputFile InputFile::FromMemory(Bytes bytes, std::string name) {
  InputFile file(std::move(name), bytes.size());
  file.memory_ = std::move(bytes);
  return file;
}

void InputFile::CheckRange(uint64_t offset, uint64_t size) const {
  if (offset <= size_ && size <= size_ - offset) return;
  throw DamagedFile(name_ + ": " + std::to_string(size) + " bytes wanted at byte " +
                    std::to_string(offset) + ", the file has " + std::to_string(size_));
}

void InputFile::Read(uint64_t offset, std::span<uint8_t> to) const {
  CheckRange(offset, to.size());
  if (!descriptor_) {
    std::copy_n(memory_.data() + offset, to.size(), to.data());
    return;
  }
  size_t done = 0;
  while (done < to.size()) {
    const ssize_t got =
        ::pread(*descriptor_, to.data() + done, std::min(to.size() - done, kReadBytes),
                static_cast<off_t>(offset + done));
    if (got > 0) {
      done += static_cast<size_t>(got);
    } else if (got == 0) {
      throw IoError(name_ + ": became shorter while it was read: " + std::to_string(size_) +
                    " bytes at first, now it ends at byte " + std::to_string(offset + done) +
                    "; start again when it is whole");
    } else if (errno != EINTR) {
      throw IoError(name_ + ": cannot read at byte " + std::to_string(offset + done) + ": " +
                    std::strerror(errno));
    }
  }
}

Bytes InputFile::Read(uint64_t offset, uint64_t size) const {
  CheckRange(offset, size);
  Bytes bytes(static_cast<size_t>(size));
  Read(offset, {bytes.data(), bytes.size()});
  return bytes;
}

}  // namespace lockstep
