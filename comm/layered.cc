#include "comm/layered.h"

#include <functional>
#include <utility>

#include "comm/hosts.h"
#include "comm/reduce.h"
#include "comm/shm/shm_communicator.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

class LayeredCommunicator : public Communicator {
 public:
  // `leaders` is null on ranks that are not the first of their host.
  LayeredCommunicator(std::unique_ptr<Communicator> whole, std::unique_ptr<Communicator> local,
                      std::unique_ptr<Communicator> leaders, std::string host, int world_rank)
      : whole_(std::move(whole)),
        local_(std::move(local)),
        leaders_(std::move(leaders)),
        host_(std::move(host)),
        world_rank_(world_rank) {}

  int rank() const override { return whole_->rank(); }
  int size() const override { return whole_->size(); }
  int local_rank() const override { return local_->rank(); }
  int local_size() const override { return local_->size(); }
  std::string name() const override { return "shm+mpi"; }

  void Allreduce(void* data, int64_t count, WireType type, ReduceOp op) override {
    local_->Allreduce(data, count, type, op);
    TellHost([&] {
      if (leaders_) leaders_->Allreduce(data, count, type, op);
    });
    local_->Broadcast(data, static_cast<size_t>(count) * SizeOf(type), 0);
  }
  // Other ranks' elements are allowed to be anything: here they are their sums.
  bool ReduceScatter(void* data, int64_t count, WireType type, ReduceOp op) override {
    Allreduce(data, count, type, op);
    const Part mine = PartOf(count, rank(), size());
    return AllFinite(
        static_cast<const std::byte*>(data) + static_cast<size_t>(mine.begin) * SizeOf(type),
        mine.size(), type);
  }
  void Allgather(const void* mine, size_t bytes, void* all) override {
    TellHost([&] { whole_->Allgather(mine, bytes, all); });
  }
  void Broadcast(void* data, size_t bytes, int root) override {
    TellHost([&] { whole_->Broadcast(data, bytes, root); });
  }
  void Barrier() override {
    TellHost([&] { whole_->Barrier(); });
  }
  std::unique_ptr<Communicator> Split(int color, int key) override {
    return MakeLayered(whole_->Split(color, key), host_, world_rank_);
  }
  std::shared_ptr<std::byte> Allocate(size_t bytes) override { return local_->Allocate(bytes); }
  void CheckPeers(const char* what) override {
    local_->CheckPeers(what);
    whole_->CheckPeers(what);
  }
  void Abort(const std::string& why) noexcept override {
    local_->Abort(why);
    whole_->Abort(why);
  }

 private:
  // Runs what goes between hosts. When it fails, the ranks of this host must not wait for it.
  void TellHost(const std::function<void()>& fn) {
    try {
      fn();
    } catch (const CommError& error) {
      local_->Abort(error.what());
      throw;
    }
  }

  const std::unique_ptr<Communicator> whole_;
  const std::unique_ptr<Communicator> local_;
  const std::unique_ptr<Communicator> leaders_;
  const std::string host_;
  const int world_rank_;
};

}  // namespace

std::unique_ptr<Communicator> MakeLayered(std::unique_ptr<Communicator> whole,
                                          const std::string& host, int world_rank) {
  const int first = RanksOfHost(*whole, host).front();
  std::unique_ptr<Communicator> local;
  {
    const std::unique_ptr<Communicator> neighbours = whole->Split(first, whole->rank());
    local = MakeShmCommunicator(*neighbours, world_rank);
  }
  if (local->size() == whole->size()) return local;
  const bool leads = local->rank() == 0;
  std::unique_ptr<Communicator> leaders = whole->Split(leads ? 0 : 1, whole->rank());
  if (!leads) leaders.reset();
  return std::make_unique<LayeredCommunicator>(std::move(whole), std::move(local),
                                               std::move(leaders), host, world_rank);
}

}  // namespace lockstep
