// The platform's failure file: why a job failed, for people who see nothing else of it.
#ifndef LOCKSTEP_TOOLS_FAILURE_FILE_H_
#define LOCKSTEP_TOOLS_FAILURE_FILE_H_

#include <string>
#include <string_view>

namespace lockstep::tools {

// Writes `message` as one line of at most 1024 bytes (all that the platform shows) to
// <output_dir>/failure. The first to fail wins: an existing file, or a link planted under that
// name, is left alone. Returns whether it was written; that it could not be changes nothing.
bool WriteFailureFile(const std::string& output_dir, std::string_view message) noexcept;

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_FAILURE_FILE_H_
