// A communicator that does all as another one, for those that do something else than that.
#ifndef LOCKSTEP_COMM_FORWARDING_COMMUNICATOR_H_
#define LOCKSTEP_COMM_FORWARDING_COMMUNICATOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"

namespace lockstep {

class ForwardingCommunicator : public Communicator {
 public:
  // `ranks` must outlive this.
  explicit ForwardingCommunicator(Communicator& ranks) : ranks_(ranks) {}

  int rank() const override { return ranks_.rank(); }
  int size() const override { return ranks_.size(); }
  int local_rank() const override { return ranks_.local_rank(); }
  int local_size() const override { return ranks_.local_size(); }
  std::string name() const override { return ranks_.name(); }
  bool Reaches(const Backend& device) const override { return ranks_.Reaches(device); }
  void Allreduce(void* data, int64_t count, WireType type, ReduceOp op) override {
    ranks_.Allreduce(data, count, type, op);
  }
  bool ReduceScatter(void* data, int64_t count, WireType type, ReduceOp op) override {
    return ranks_.ReduceScatter(data, count, type, op);
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
  std::vector<std::shared_ptr<const void>> Share(const std::shared_ptr<const void>& mine,
                                                 size_t bytes) override {
    return ranks_.Share(mine, bytes);
  }
  void CheckPeers(const char* what) override { ranks_.CheckPeers(what); }
  void Abort(const std::string& why) noexcept override { ranks_.Abort(why); }

 protected:
  Communicator& ranks() const { return ranks_; }

 private:
  Communicator& ranks_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_FORWARDING_COMMUNICATOR_H_
