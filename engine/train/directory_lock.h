// One job a directory.
#ifndef LOCKSTEP_ENGINE_TRAIN_DIRECTORY_LOCK_H_
#define LOCKSTEP_ENGINE_TRAIN_DIRECTORY_LOCK_H_

#include <functional>
#include <string>

#include "engine/train/posix_file.h"

namespace lockstep {

// Holds an flock on `<directory>/LOCK`, which says "pid@host" of the holder. The kernel lets go
// when the process ends, however it ends; the file stays. A file system without locks is reported
// through `warn` and taken as free.
class DirectoryLock {
 public:
  // Throws IoError 73 naming the holder when another job, or another lock of this one, is there.
  DirectoryLock(const std::string& directory, const std::function<void(const std::string&)>& warn);

 private:
  FileDescriptor file_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_DIRECTORY_LOCK_H_
