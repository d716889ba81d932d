// Which ranks run on the same host.
#ifndef LOCKSTEP_COMM_HOSTS_H_
#define LOCKSTEP_COMM_HOSTS_H_

#include <string>
#include <vector>

#include "comm/communicator.h"

namespace lockstep {

// What ranks that can share memory have in common: the machine since it was started, its name, the
// namespaces of processes and networks, and the user.
std::string HostKey();

// The ranks of `whole` that give the same `host`, or any other name of a place, as this one, in
// order; at least this one. All ranks call it together.
std::vector<int> RanksOfHost(Communicator& whole, const std::string& host);

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_HOSTS_H_
