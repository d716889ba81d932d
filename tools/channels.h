// The platform's input channels, gathered from every place that names them.
#ifndef LOCKSTEP_TOOLS_CHANNELS_H_
#define LOCKSTEP_TOOLS_CHANNELS_H_

#include <string>
#include <vector>

#include "tools/environment.h"

namespace lockstep::tools {

// Channels of SM_CHANNEL_<NAME>, SM_CHANNELS, SM_INPUT_DATA_CONFIG, inputdataconfig.json and the
// directories under <base>/input/data; for each fact the first that has it counts. No one of them
// is complete: a shell drops variables with '-' in their names, and upper case hides the channel's
// own spelling.
std::vector<Channel> ReadChannels(const Variables& variables, const std::string& base_dir);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_CHANNELS_H_
