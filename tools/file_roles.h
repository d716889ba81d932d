// What a program reads and what it writes: no result may take the place of an input.
#ifndef LOCKSTEP_TOOLS_FILE_ROLES_H_
#define LOCKSTEP_TOOLS_FILE_ROLES_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "data/channel.h"
#include "tools/train_options.h"

namespace lockstep::tools {

// Files by what they are on the disk, whatever path leads to them.
class FileRoles {
 public:
  // `option` is what named the file, for the message. An empty path is none.
  void Reads(const std::string& option, const std::string& path);
  // The files of a channel. Throws what FindChannelFiles throws.
  void ReadsChannel(const std::string& option, const std::string& path, ChannelOptions options);
  // Throws ConfigError (64) naming both options where the file was named before.
  void Writes(const std::string& option, const std::string& path);

 private:
  struct File {
    dev_t device = 0;
    ino_t inode = 0;
    std::string name;  // of a file that is not there yet; device and inode are its directory's
    bool operator==(const File&) const = default;
  };
  struct Role {
    File file;
    std::string option;
    bool read = false;
  };
  static File Identify(const std::string& path);

  std::vector<Role> roles_;
};

// Before a job does any work: that it can write all of its results, and over none of its inputs.
// Makes the directories. Throws ConfigError 64, IoError 73 or 77, and what FindChannelFiles throws.
void CheckTrainingFiles(const TrainOptions& options);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_FILE_ROLES_H_
