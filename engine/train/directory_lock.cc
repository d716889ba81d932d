#include "engine/train/directory_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "engine/train/host_name.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

std::string HolderOf(int fd) {
  std::array<char, 300> text{};
  const ssize_t got = ::pread(fd, text.data(), text.size(), 0);
  std::string holder(text.data(), got > 0 ? static_cast<size_t>(got) : 0);
  if (!holder.empty() && holder.back() == '\n') holder.pop_back();
  return holder.empty() ? "an unknown process" : "process " + Printable(holder);
}

std::string Ourselves() { return std::to_string(::getpid()) + "@" + HostName() + "\n"; }

}  // namespace

DirectoryLock::DirectoryLock(const std::string& directory,
                             const std::function<void(const std::string&)>& warn) {
  const std::string path = directory + "/LOCK";
  file_ = FileDescriptor(
      ::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0666));
  if (!file_) ThrowWriteError("cannot lock", path, errno);
  while (::flock(file_.get(), LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    if (error == EINTR) continue;
    if (error == EWOULDBLOCK) {
      throw IoError("the directory " + Printable(directory) + " is in use by " +
                        HolderOf(file_.get()) +
                        "; wait until that job ends or choose another directory",
                    ExitCode::kCannotCreate);
    }
    warn("cannot lock " + Printable(path) + ": this file system has no locks; make sure that no " +
         "other job uses the directory");
    return;
  }
  // What it says is for people only: a full disk is no reason not to hold it.
  const std::string text = Ourselves();
  if (::ftruncate(file_.get(), 0) != 0 ||
      ::pwrite(file_.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    warn("cannot write the holder into " + Printable(path));
  }
}

}  // namespace lockstep
