#include "comm/names.h"

#include "kernels/error.h"

namespace lockstep {
namespace {

struct Named {
  const char* name;
  Transport transport;
  GpuTransport gpus;
};

constexpr Named kNames[] = {
    {"auto", Transport::kAuto, GpuTransport::kAuto},
    {"mpi", Transport::kMpi, GpuTransport::kHost},
    {"shm", Transport::kShm, GpuTransport::kHost},
    {"naive", Transport::kMpi, GpuTransport::kHost},
    {"flat", Transport::kMpi, GpuTransport::kHost},
    {"hierarchical", Transport::kAuto, GpuTransport::kNcclInHosts},
    {"two_dimensional", Transport::kAuto, GpuTransport::kNcclInHosts},
    {"single_node", Transport::kShm, GpuTransport::kNccl},
    {"non_cuda_aware", Transport::kAuto, GpuTransport::kHost},
    {"pure_nccl", Transport::kAuto, GpuTransport::kNccl},
    {"dummy", Transport::kAuto, GpuTransport::kAuto},
};

const Named& Find(const std::string& name) {
  std::string known;
  for (const Named& entry : kNames) {
    if (name == entry.name) return entry;
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
  }
  throw ConfigError("unknown communicator '" + name + "'; known: " + known);
}

}  // namespace

Transport TransportOf(const std::string& name) { return Find(name).transport; }

GpuTransport GpuTransportOf(const std::string& name) { return Find(name).gpus; }

std::vector<std::string> TransportNames() {
  std::vector<std::string> names;
  for (const Named& entry : kNames) names.emplace_back(entry.name);
  return names;
}

}  // namespace lockstep
