// Where this user's choices of convolution algorithms are remembered.
#ifndef LOCKSTEP_TOOLS_ALGORITHM_FILE_H_
#define LOCKSTEP_TOOLS_ALGORITHM_FILE_H_

#include <string>

namespace lockstep::tools {

// $LOCKSTEP_CACHE_DIR, else $XDG_CACHE_HOME/lockstep, else $HOME/.cache/lockstep; made when absent.
// Empty, so that nothing is remembered, where none of them can be written.
std::string DefaultAlgorithmFile();

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_ALGORITHM_FILE_H_
