// A communicator that sums in a device's memory, for tests of who uses one without a GPU.
#ifndef LOCKSTEP_TESTS_COMM_REACHING_COMMUNICATOR_H_
#define LOCKSTEP_TESTS_COMM_REACHING_COMMUNICATOR_H_

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "tests/kernels/far_backend.h"

namespace lockstep::testing {

// What lies on the device goes through the host, where `ranks` sums it; all else is theirs.
class ReachingCommunicator : public Communicator {
 public:
  // `sums` counts those of arrays on the device. All must outlive this.
  ReachingCommunicator(Communicator& ranks, FarBackend& device, std::atomic<int>* sums)
      : ranks_(ranks), device_(device), sums_(*sums) {}

  int rank() const override { return ranks_.rank(); }
  int size() const override { return ranks_.size(); }
  int local_rank() const override { return ranks_.local_rank(); }
  int local_size() const override { return ranks_.local_size(); }
  std::string name() const override { return "reaching " + ranks_.name(); }
  bool Reaches(const Backend& device) const override { return &device == &device_; }

  void Allreduce(void* data, int64_t count, WireType type, ReduceOp op) override {
    if (!device_.Holds(data)) return ranks_.Allreduce(data, count, type, op);
    ++sums_;
    std::vector<std::byte> host(static_cast<size_t>(count) * SizeOf(type));
    device_.CopyBeside(data, host.data(), host.size());
    ranks_.Allreduce(host.data(), count, type, op);
    device_.CopyBeside(host.data(), data, host.size());
  }
  void ReduceScatter(void* data, int64_t count, WireType type, ReduceOp op) override {
    ranks_.ReduceScatter(data, count, type, op);
  }
  void Allgather(const void* mine, size_t bytes, void* all) override {
    ranks_.Allgather(mine, bytes, all);
  }
  void Broadcast(void* data, size_t bytes, int root) override {
    ranks_.Broadcast(data, bytes, root);
  }
  void Barrier() override { ranks_.Barrier(); }
  std::unique_ptr<Communicator> Split(int color, int key) override {
    return ranks_.Split(color, key);
  }
  std::shared_ptr<std::byte> Allocate(size_t bytes) override { return ranks_.Allocate(bytes); }
  void CheckPeers(const char* what) override { ranks_.CheckPeers(what); }
  void Abort(const std::string& why) noexcept override { ranks_.Abort(why); }

 private:
  Communicator& ranks_;
  FarBackend& device_;
  std::atomic<int>& sums_;
};

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_COMM_REACHING_COMMUNICATOR_H_
