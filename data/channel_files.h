// Which files of a channel hold its data.
#ifndef LOCKSTEP_DATA_CHANNEL_FILES_H_
#define LOCKSTEP_DATA_CHANNEL_FILES_H_

#include <string>
#include <vector>

#include "data/channel.h"

namespace lockstep {

struct ChannelFile {
  enum class Kind : uint8_t { kNpz, kIdxPair, kCifar };

  Kind kind = Kind::kNpz;
  std::string path;
  std::string labels_path;  // of a pair
};

// Never empty and all of one kind; errors as LoadChannel.
std::vector<ChannelFile> FindChannelFiles(const std::string& path, const ChannelOptions& options);

}  // namespace lockstep

#endif  // LOCKSTEP_DATA_CHANNEL_FILES_H_
