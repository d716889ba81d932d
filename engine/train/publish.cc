#include "engine/train/publish.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <memory>
#include <optional>
#include <string_view>

namespace lockstep {
namespace {

constexpr std::string_view kMark = ".tmp-";

FileDescriptor OpenDirectory(const std::string& path) {
  return FileDescriptor(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

// Makes `<name>.tmp-<pid>[-n]` in `directory`, locked so that a sweeper knows it is in use.
// Returns its name; "" with errno set when none could be made.
std::string CreateTemporary(int directory, const std::string& name, FileDescriptor* file) {
  const std::string stem = name + std::string(kMark) + std::to_string(::getpid());
  for (int n = 0;; ++n) {
    std::string temporary = n == 0 ? stem : stem + "-" + std::to_string(n);
    *file = FileDescriptor(::openat(directory, temporary.c_str(),
                                    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666));
    if (!*file && errno == EEXIST && n < 10000) continue;
    if (!*file) return "";
    // Best effort: a file system without locks leaves the sweeper with the pid alone.
    const bool taken = ::flock(file->get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    // A sweeper may have come between the two.
    struct stat status {};
    const bool swept = ::fstat(file->get(), &status) == 0 && status.st_nlink == 0;
    if (!taken && !swept) return temporary;
  }
}

// write, again when a signal interrupted it.
ssize_t WriteSome(int fd, const void* data, size_t bytes) {
  ssize_t written = 0;
  do {
    written = ::write(fd, data, bytes);
  } while (written < 0 && errno == EINTR);
  return written;
}

// The pid in a temporary's name; nothing when it is not one.
std::optional<pid_t> WriterOf(std::string_view name) {
  const size_t mark = name.rfind(kMark);
  if (mark == std::string_view::npos || mark == 0) return std::nullopt;
  const char* const end = name.data() + name.size();
  pid_t pid = 0;
  auto [rest, error] = std::from_chars(name.data() + mark + kMark.size(), end, pid);
  if (error != std::errc() || pid <= 0) return std::nullopt;
  if (rest == end) return pid;
  int n = 0;
  if (*rest != '-') return std::nullopt;
  const auto [tail, tail_error] = std::from_chars(rest + 1, end, n);
  return tail_error == std::errc() && tail == end && n > 0 ? std::optional(pid) : std::nullopt;
}

bool IsAbandoned(int directory, const char* name, pid_t writer) {
  const bool ours = writer == ::getpid();
  const bool dead = ::kill(writer, 0) != 0 && errno == ESRCH;
  if (!ours && !dead) return false;
  struct stat info {};
  if (::fstatat(directory, name, &info, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(info.st_mode)) {
    return false;
  }
  const FileDescriptor file(::openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file) return dead;
  if (::flock(file.get(), LOCK_EX | LOCK_NB) == 0) return true;
  return dead && errno != EWOULDBLOCK;
}

void MakeOneDirectory(const std::string& path) {
  if (::mkdir(path.c_str(), 0777) != 0) {
    const int error = errno;
    struct stat info {};
    if (error == EEXIST && ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return;
    if (error == EEXIST) {
      throw IoError("cannot make the directory " + Printable(path) +
                        ": it is a file; remove it or choose another",
                    ExitCode::kCannotCreate);
    }
    ThrowWriteError("cannot make the directory", path, error);
  }
  const FileDescriptor parent = OpenDirectory(SplitPath(path).first);
  const int error = parent ? SyncToDisk(parent.get()) : errno;
  if (error != 0) ThrowWriteError("cannot make the directory", path, error);
}

void MakeDirectories(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0 && errno == ENOENT) {
    const std::string parent = SplitPath(path).first;
    if (parent != path) MakeDirectories(parent);
  }
  MakeOneDirectory(path);
}

// Refuses what a rename would replace though it is no file.
void CheckTarget(int directory, const std::string& name, const std::string& path) {
  if (name.empty() || name == "." || name == "..") {
    throw IoError(
        "cannot write " + Printable(path) + ": it names a directory; give the name of a file",
        ExitCode::kCannotCreate);
  }
  struct stat info {};
  if (::fstatat(directory, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return;
    ThrowWriteError("cannot write", path, errno);
  }
  if (S_ISREG(info.st_mode)) return;
  const char* kind = S_ISLNK(info.st_mode)   ? "a symbolic link"
                     : S_ISDIR(info.st_mode) ? "a directory"
                                             : "a device or pipe";
  throw IoError("refusing to write " + Printable(path) + ": it is " + kind +
                    ", not a file; remove it or choose another name",
                ExitCode::kCannotCreate);
}

}  // namespace

Publisher::Publisher(const std::string& path, int64_t expected_bytes)
    : path_(path), expected_bytes_(expected_bytes) {
  const auto [directory, name] = SplitPath(path);
  name_ = name;
  directory_ = OpenDirectory(directory);
  if (!directory_) ThrowWriteError("cannot write", path_, errno);
  CheckTarget(directory_.get(), name_, path_);
  temporary_ = CreateTemporary(directory_.get(), name_, &file_);
  if (temporary_.empty()) Fail(errno, expected_bytes_);
  Reserve();
}

Publisher::~Publisher() { Remove(); }

void Publisher::Reserve() {
  if (expected_bytes_ <= 0) return;
  while (::fallocate(file_.get(), FALLOC_FL_KEEP_SIZE, 0, expected_bytes_) != 0) {
    const int error = errno;
    if (error == EINTR) continue;
    if (error == ENOSPC || error == EFBIG || error == EDQUOT) Fail(error, expected_bytes_);
    return;  // this file system reserves nothing
  }
}

void Publisher::Write(std::span<const std::byte> data) {
  if (!file_) throw Error(ExitCode::kBug, "Publisher of " + Printable(path_) + ": already closed");
  while (!data.empty()) {
    const ssize_t written = WriteSome(file_.get(), data.data(), data.size());
    // A regular file that takes nothing without an error has no room left.
    if (written <= 0) {
      const int error = written == 0 ? ENOSPC : errno;
      Fail(error, std::max(expected_bytes_, size_ + static_cast<int64_t>(data.size())));
    }
    size_ += written;
    data = data.subspan(static_cast<size_t>(written));
  }
}

void Publisher::Sync() {
  if (!file_) throw Error(ExitCode::kBug, "Publisher of " + Printable(path_) + ": already closed");
  // What Reserve() took beyond the end of the file is given back.
  if (size_ < expected_bytes_ && ::ftruncate(file_.get(), size_) != 0) Fail(errno, size_);
  const int error = SyncToDisk(file_.get());
  if (error != 0) Fail(error, size_);
  CheckTarget(directory_.get(), name_, path_);
}

void Publisher::Rename() {
  if (::renameat(directory_.get(), temporary_.c_str(), directory_.get(), name_.c_str()) != 0) {
    Fail(errno, size_);
  }
  temporary_.clear();
  // Only now, as its lock keeps sweepers away; what could fail was reported by the sync.
  file_.Close();
}

void Publisher::SyncDirectory() {
  const int error = SyncToDisk(directory_.get());
  if (error != 0) ThrowWriteError("cannot sync the directory of", path_, error);
}

void Publisher::Commit() {
  Sync();
  Rename();
  SyncDirectory();
}

void CommitTogether(Publisher* first, Publisher* second) {
  first->Sync();
  second->Sync();
  first->Rename();
  second->Rename();
  first->SyncDirectory();
  second->SyncDirectory();
}

void Publisher::Remove() noexcept {
  file_.Close();
  if (!temporary_.empty()) ::unlinkat(directory_.get(), temporary_.c_str(), 0);
  temporary_.clear();
}

void Publisher::Fail(int error, int64_t wanted_bytes) {
  Remove();
  std::string room;
  struct statvfs info {};
  if (error == ENOSPC && ::fstatvfs(directory_.get(), &info) == 0) {
    // Without the temporary: what a new attempt would find.
    const uint64_t free = uint64_t{info.f_bavail} * info.f_frsize;
    room =
        " (needed " + std::to_string(wanted_bytes) + " bytes, free " + std::to_string(free) + ")";
  } else if (error == EFBIG) {
    room = " (needed " + std::to_string(wanted_bytes) + " bytes)";
  }
  ThrowWriteError("cannot write", path_ + room, error);
}

void Publish(const std::string& path, std::span<const std::byte> data) {
  Publisher file(path, static_cast<int64_t>(data.size()));
  file.Write(data);
  file.Commit();
}

void Publish(const std::string& path, const std::string& text) {
  Publish(path, std::as_bytes(std::span(text)));
}

void CheckPublishable(const std::string& path) {
  const auto [directory, name] = SplitPath(path);
  const FileDescriptor descriptor = OpenDirectory(directory);
  if (!descriptor) ThrowWriteError("cannot write", path, errno);
  CheckTarget(descriptor.get(), name, path);
}

void CheckWritableDirectory(const std::string& path) {
  if (path.empty()) {
    throw IoError("cannot make a directory without a name", ExitCode::kCannotCreate);
  }
  MakeDirectories(path);
  const FileDescriptor directory = OpenDirectory(path);
  if (!directory) ThrowWriteError("cannot write into", path, errno);
  FileDescriptor file;
  const std::string probe = CreateTemporary(directory.get(), "lockstep", &file);
  if (probe.empty()) ThrowWriteError("cannot write into", path, errno);
  const int error = WriteSome(file.get(), "x", 1) == 1 ? 0 : errno;
  ::unlinkat(directory.get(), probe.c_str(), 0);
  if (error != 0) ThrowWriteError("cannot write into", path, error);
}

int SweepTemporaries(const std::string& path) {
  const FileDescriptor directory = OpenDirectory(path);
  if (!directory) ThrowWriteError("cannot read the directory", path, errno);
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(path.c_str()), ::closedir);
  if (!entries) ThrowWriteError("cannot read the directory", path, errno);
  int removed = 0;
  while (const dirent* entry = ::readdir(entries.get())) {
    const std::optional<pid_t> writer = WriterOf(entry->d_name);
    if (!writer || !IsAbandoned(directory.get(), entry->d_name, *writer)) continue;
    if (::unlinkat(directory.get(), entry->d_name, 0) == 0) ++removed;
  }
  return removed;
}

}  // namespace lockstep
