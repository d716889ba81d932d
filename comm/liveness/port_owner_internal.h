// Who has a port that somebody else wants.
#ifndef LOCKSTEP_COMM_LIVENESS_PORT_OWNER_INTERNAL_H_
#define LOCKSTEP_COMM_LIVENESS_PORT_OWNER_INTERNAL_H_

#include <cstdint>
#include <string>

namespace lockstep::liveness {

// "process 4711 (nginx)", the one of this host that listens at that TCP port; "another process"
// where that is not ours to see.
std::string PortOwner(uint16_t port);

}  // namespace lockstep::liveness

#endif  // LOCKSTEP_COMM_LIVENESS_PORT_OWNER_INTERNAL_H_
