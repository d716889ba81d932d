#include "engine/train/posix_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>

namespace lockstep {
namespace {

std::string ErrorText(int error) { return std::generic_category().message(error); }

std::string Advice(int error) {
  switch (error) {
    case EMFILE:
    case ENFILE:
      return "; raise `ulimit -n`";
    case EFBIG:
      return "; raise `ulimit -f` or use a file system for larger files";
    case ELOOP:
      return "; it is a symbolic link: remove it, or choose another place";
    case EROFS:
    case EACCES:
    case EPERM:
      return "; choose a directory this user can write to";
    case ENOSPC:
    case EDQUOT:
      return "; free space or choose another directory";
    case ENOENT:
    case ENOTDIR:
      return "; choose another directory";
    default:
      return "";
  }
}

}  // namespace

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    Close();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

int FileDescriptor::Close() noexcept {
  if (fd_ < 0) return 0;
  // Linux has released the descriptor even when close reports EINTR: never twice.
  return ::close(std::exchange(fd_, -1)) == 0 || errno == EINTR ? 0 : errno;
}

ExitCode WriteErrorCode(int error) {
  switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return ExitCode::kNoResources;
    case EACCES:
    case EPERM:
      return ExitCode::kNoPermission;
    case EROFS:
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case EEXIST:
    case ELOOP:
    case ENAMETOOLONG:
      return ExitCode::kCannotCreate;
    default:
      return ExitCode::kIo;
  }
}

void ThrowWriteError(const std::string& what, const std::string& path, int error) {
  throw IoError(what + " " + Printable(path) + ": " + ErrorText(error) + Advice(error),
                WriteErrorCode(error));
}

void ThrowReadError(const std::string& what, const std::string& path, int error) {
  ExitCode code = WriteErrorCode(error);
  if (code == ExitCode::kCannotCreate) code = ExitCode::kNoInput;
  throw IoError(what + " " + Printable(path) + ": " + ErrorText(error), code);
}

std::string ReadSmallFile(const std::string& path, size_t most_bytes) {
  // O_NONBLOCK: a pipe under this name is refused instead of waited for.
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat info {};
  if (!file || ::fstat(file.get(), &info) != 0) ThrowReadError("cannot open", path, errno);
  if (!S_ISREG(info.st_mode) || static_cast<uint64_t>(info.st_size) > most_bytes) {
    throw IoError("cannot read " + Printable(path) + ": not a regular file of at most " +
                      std::to_string(most_bytes) + " bytes",
                  ExitCode::kNoInput);
  }
  std::string text(static_cast<size_t>(info.st_size), '\0');
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = ::read(file.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) ThrowReadError("cannot read", path, errno);
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  text.resize(size);
  return text;
}

std::string Printable(const std::string& text) {
  constexpr size_t kLongest = 400;
  constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.size() > kLongest && i == kLongest / 2) {
      out += "...";
      i = text.size() - kLongest / 2;
    }
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte >= 0x20 && byte != 0x7f) {
      out += text[i];
    } else {
      out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

int SyncToDisk(int fd) {
  while (::fsync(fd) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

std::pair<std::string, std::string> SplitPath(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

}  // namespace lockstep
