// What this machine is called.
#ifndef LOCKSTEP_ENGINE_TRAIN_HOST_NAME_H_
#define LOCKSTEP_ENGINE_TRAIN_HOST_NAME_H_

#include <string>

namespace lockstep {

// The kernel's word for it, "localhost" where it has none. Neither SM_CURRENT_HOST, which under
// mpirun is the first host's on all of them, nor gethostname(3), which the platform's toolkit
// replaces by one that crashes where /opt/ml/input/config/resourceconfig.json is missing.
std::string HostName();

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_HOST_NAME_H_
