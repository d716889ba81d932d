// For builds without PMIx: nothing is known of other hosts before MPI has started.
#include "comm/mpi/launcher_roll_internal.h"

namespace lockstep {

struct LauncherRoll::Library {};

LauncherRoll::LauncherRoll() = default;
LauncherRoll::~LauncherRoll() = default;

std::vector<LauncherRoll::Process> LauncherRoll::Processes(int, std::chrono::milliseconds) const {
  return {};
}

}  // namespace lockstep
