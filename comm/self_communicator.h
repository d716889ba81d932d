// A group of one.
#ifndef LOCKSTEP_COMM_SELF_COMMUNICATOR_H_
#define LOCKSTEP_COMM_SELF_COMMUNICATOR_H_

#include <memory>

#include "comm/communicator.h"

namespace lockstep {

std::unique_ptr<Communicator> MakeSelfCommunicator();

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_SELF_COMMUNICATOR_H_
