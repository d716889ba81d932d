// The processes that a platform's hyperparameters ask for.
#ifndef LOCKSTEP_TOOLS_PLATFORM_RANKS_H_
#define LOCKSTEP_TOOLS_PLATFORM_RANKS_H_

#include <string>
#include <string_view>
#include <vector>

#include "tools/environment.h"

namespace lockstep::tools {

struct PlatformRanks {
  int ranks = 0;                         // 0: none to start
  std::vector<std::string> mpi_options;  // more words for mpirun
};

// What the Chainer containers read: sagemaker_use_mpi starts mpirun on one host as well, with
// sagemaker_num_processes processes, or sagemaker_process_slots_per_host, or one a GPU, or one; and
// sagemaker_additional_mpi_options. Nothing where a launcher has started this process. Throws
// ConfigError for values that cannot be.
PlatformRanks RanksOfPlatform(const Environment& environment);

// As a shell makes words of a line: quotes of both kinds, and backslashes; nothing is expanded.
// Throws ConfigError, with `where`, for a quote that does not end.
std::vector<std::string> SplitWords(std::string_view line, const std::string& where);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_PLATFORM_RANKS_H_
