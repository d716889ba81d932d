// Reading of configuration files.
#ifndef LOCKSTEP_TOOLS_SMALL_FILE_H_
#define LOCKSTEP_TOOLS_SMALL_FILE_H_

#include <optional>
#include <string>

namespace lockstep::tools {

// The whole of a regular file of at most 4 MiB; nullopt where there is none. Anything else under
// that name (a directory, a pipe, a device), or one that cannot be read, is an IoError.
std::optional<std::string> ReadSmallFile(const std::string& path);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_SMALL_FILE_H_
