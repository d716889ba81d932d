#include "comm/names.h"

#include "kernels/error.h"

namespace lockstep {
namespace {

struct Named {
  const char* name;
  Transport transport;
};

constexpr Named kNames[] = {
    {"auto", Transport::kAuto},
    {"mpi", Transport::kMpi},
    {"shm", Transport::kShm},
    {"naive", Transport::kMpi},
    {"flat", Transport::kMpi},
    {"hierarchical", Transport::kAuto},
    {"two_dimensional", Transport::kAuto},
    {"single_node", Transport::kShm},
    {"non_cuda_aware", Transport::kAuto},
    {"pure_nccl", Transport::kAuto},
    {"dummy", Transport::kAuto},
};

}  // namespace

Transport TransportOf(const std::string& name) {
  std::string known;
  for (const Named& entry : kNames) {
    if (name == entry.name) return entry.transport;
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
  }
  throw ConfigError("unknown communicator '" + name + "'; known: " + known);
}

std::vector<std::string> TransportNames() {
  std::vector<std::string> names;
  for (const Named& entry : kNames) names.emplace_back(entry.name);
  return names;
}

}  // namespace lockstep
