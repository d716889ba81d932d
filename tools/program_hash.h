// Which program this is.
#ifndef LOCKSTEP_TOOLS_PROGRAM_HASH_H_
#define LOCKSTEP_TOOLS_PROGRAM_HASH_H_

#include <string>

namespace lockstep::tools {

// Version and a sum of the running program's bytes: "0.1.0 1f00ba12". Without /proc the version.
std::string ProgramHash();

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_PROGRAM_HASH_H_
