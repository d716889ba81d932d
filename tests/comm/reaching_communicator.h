// A communicator that sums in a device's memory, for tests of who uses one without a GPU.
#ifndef LOCKSTEP_TESTS_COMM_REACHING_COMMUNICATOR_H_
#define LOCKSTEP_TESTS_COMM_REACHING_COMMUNICATOR_H_

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/forwarding_communicator.h"
#include "tests/kernels/far_backend.h"

namespace lockstep::testing {

// What lies on the device goes through the host, where `ranks` sums it; all else is theirs.
class ReachingCommunicator : public ForwardingCommunicator {
 public:
  // `sums` counts those of arrays on the device. All must outlive this.
  ReachingCommunicator(Communicator& ranks, FarBackend& device, std::atomic<int>* sums)
      : ForwardingCommunicator(ranks), device_(device), sums_(*sums) {}

  std::string name() const override { return "reaching " + ranks().name(); }
  bool Reaches(const Backend& device) const override { return &device == &device_; }

  void Allreduce(void* data, int64_t count, WireType type, ReduceOp op) override {
    if (!device_.Holds(data)) return ranks().Allreduce(data, count, type, op);
    ++sums_;
    std::vector<std::byte> host(static_cast<size_t>(count) * SizeOf(type));
    device_.CopyBeside(data, host.data(), host.size());
    ranks().Allreduce(host.data(), count, type, op);
    device_.CopyBeside(host.data(), data, host.size());
  }

 private:
  FarBackend& device_;
  std::atomic<int>& sums_;
};

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_COMM_REACHING_COMMUNICATOR_H_
