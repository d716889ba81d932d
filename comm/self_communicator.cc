#include "comm/self_communicator.h"

#include <cstring>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "comm/memory.h"
#include "comm/reduce.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

class SelfCommunicator : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  int local_rank() const override { return 0; }
  int local_size() const override { return 1; }
  std::string name() const override { return "self"; }

  void Allreduce(void*, int64_t, WireType, ReduceOp) override { Check("allreduce"); }
  bool ReduceScatter(void* data, int64_t count, WireType type, ReduceOp) override {
    Check("reduce-scatter");
    return AllFinite(data, count, type);
  }
  void Allgather(const void* mine, size_t bytes, void* all) override {
    Check("allgather");
    if (bytes > 0) std::memmove(all, mine, bytes);
  }
  void Broadcast(void*, size_t, int) override { Check("broadcast"); }
  void Barrier() override { Check("barrier"); }

  std::unique_ptr<Communicator> Split(int, int) override {
    Check("split");
    return MakeSelfCommunicator();
  }
  void CheckPeers(const char* what) override { Check(what); }
  std::shared_ptr<std::byte> Allocate(size_t bytes) override { return AllocateZeroed(bytes); }
  std::vector<std::shared_ptr<const void>> Share(const std::shared_ptr<const void>& mine,
                                                 size_t) override {
    return {mine};
  }

  void Abort(const std::string& why) noexcept override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!aborted_) aborted_ = why;
  }

 private:
  void Check(const char* what) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (aborted_) throw CommError(std::string(what) + " on rank 0: rank 0 gave up: " + *aborted_);
  }

  std::mutex mutex_;
  std::optional<std::string> aborted_;
};

}  // namespace

std::unique_ptr<Communicator> MakeSelfCommunicator() {
  return std::make_unique<SelfCommunicator>();
}

}  // namespace lockstep
