// The one way a file becomes durable: whole under its name, or not there at all.
#ifndef LOCKSTEP_ENGINE_TRAIN_PUBLISH_H_
#define LOCKSTEP_ENGINE_TRAIN_PUBLISH_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "engine/train/posix_file.h"

namespace lockstep {

// Writes `<name>.tmp-<pid>[-n]` beside the target and puts it in place when all of it is on the
// disk: write, fsync, rename, fsync of the directory. Without the first fsync a power cut leaves
// an empty file under the final name, without the second it undoes the rename.
//
// A reader sees the file before or the file after, never a mixture. What cannot be written throws
// IoError: 74 for a full disk ("needed X, free Y") or an I/O error, 73/77 where nothing may be
// made, 71 without descriptors. A target that is a symlink, a directory or a device is refused.
// One thread a Publisher; any number of Publishers a process.
class Publisher {
 public:
  // Opens the temporary. `expected_bytes`, where known, are reserved now, so that a disk without
  // room says so before the work is done; more or less may be written.
  explicit Publisher(const std::string& path, int64_t expected_bytes = 0);
  // Removes the temporary unless Commit() put it in place.
  ~Publisher();
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  void Write(std::span<const std::byte> data);
  void Write(const void* data, size_t bytes) {
    Write({static_cast<const std::byte*>(data), bytes});
  }
  // Bytes written so far.
  int64_t size() const { return size_; }
  // Returns when the file is durable. When it throws, the target holds the old content; only when
  // the directory itself could not be synced may it hold the new one, whole but not yet durable.
  void Commit();

 private:
  friend void CommitTogether(Publisher* first, Publisher* second);

  void OpenTemporary();
  void Reserve();
  // The three parts of Commit().
  void Sync();
  void Rename();
  void SyncDirectory();
  void Remove() noexcept;
  [[noreturn]] void Fail(int error, int64_t wanted_bytes);

  std::string path_;
  std::string name_;
  std::string temporary_;
  FileDescriptor directory_;
  FileDescriptor file_;
  int64_t expected_bytes_ = 0;
  int64_t size_ = 0;
};

// Commits two files that belong together: both are on the disk before the first takes its name, so
// that only a death between two renames leaves one without the other.
void CommitTogether(Publisher* first, Publisher* second);

// The above for bytes that lie ready.
void Publish(const std::string& path, std::span<const std::byte> data);
void Publish(const std::string& path, const std::string& text);

// Throws IoError 73 when what lies at `path` is a symlink, a directory or a device, which Publish
// would refuse. Called before the first step, for whatever a job is going to publish.
void CheckPublishable(const std::string& path);

// Makes the directory and its parents, durably, and proves that a file can be made in it by making
// one. Called before the first step, so that a job does not find out at its end. Throws IoError 73
// or 77.
void CheckWritableDirectory(const std::string& path);

// Removes the temporaries in `directory` whose writer is dead; returns how many. A name carries
// its writer's pid, and a writer holds a lock on its temporary: only a file whose pid does not run
// here (or is ours: containers restart with the same pid) and which nobody has locked is removed.
// Assumes that whoever writes into this directory runs on this host, or on a file system that
// carries flock between hosts. Call before this process publishes into the directory.
int SweepTemporaries(const std::string& directory);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_PUBLISH_H_
