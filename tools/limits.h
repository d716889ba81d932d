// What the system lets this process have.
#ifndef LOCKSTEP_TOOLS_LIMITS_H_
#define LOCKSTEP_TOOLS_LIMITS_H_

#include <cstdint>

namespace lockstep::tools {

// Throws Error (71) that names what is needed, what there is and the limit to raise, where stack,
// descriptors, threads or, for several ranks, address space are too few. To be called before
// anything else is begun: kernels, OpenMP's runtime and MPI meet these limits with signals, with
// exit codes of their own and with waiting for ever. A soft limit of descriptors is raised.
// `threads` are those that compute; 0: as many as there are cores, shared by the ranks.
void RequireLimits(int ranks, int64_t threads);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_LIMITS_H_
