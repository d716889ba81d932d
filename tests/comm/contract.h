// What every communicator promises (comm/communicator.h), as checks that all ranks of a group run
// together. Failures are GoogleTest's.
#ifndef LOCKSTEP_TESTS_COMM_CONTRACT_H_
#define LOCKSTEP_TESTS_COMM_CONTRACT_H_

#include <span>

#include "comm/communicator.h"

namespace lockstep::testing {

struct Check {
  const char* name;
  void (*run)(Communicator& communicator);
};

std::span<const Check> ContractChecks();

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_COMM_CONTRACT_H_
