// What MakeNcclCommunicator makes.
#ifndef LOCKSTEP_COMM_NCCL_GPU_COMMUNICATOR_INTERNAL_H_
#define LOCKSTEP_COMM_NCCL_GPU_COMMUNICATOR_INTERNAL_H_

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "comm/communicator.h"
#include "comm/forwarding_communicator.h"
#include "comm/hosts.h"
#include "comm/nccl/gpu_group_internal.h"
#include "comm/nccl/nccl_communicator.h"

namespace lockstep::nccl {

// Who sums with whom.
struct Members {
  std::unique_ptr<Communicator> connected;  // by NCCL
  std::unique_ptr<Communicator> leaders;    // the first ranks of all hosts, on those alone
  bool several_hosts = false;

  // Ranks with the same `host` are on one.
  static Members Of(Communicator& ranks, NcclRanks connected, const std::string& host) {
    Members members;
    const int first = connected == NcclRanks::kAll ? 0 : RanksOfHost(ranks, host).front();
    members.connected = ranks.Split(first, ranks.rank());
    members.several_hosts = members.connected->size() < ranks.size();
    if (!members.several_hosts) return members;
    const bool leads = members.connected->rank() == 0;
    members.leaders = ranks.Split(leads ? 0 : 1, ranks.rank());
    if (!leads) members.leaders.reset();
    return members;
  }
};

// Stream: as GpuGroup's, which also says what memory is its device's.
template <typename Stream>
class GpuCommunicator : public ForwardingCommunicator {
 public:
  // `ranks` and `stream` must outlive this, `device` need not.
  GpuCommunicator(Communicator& ranks, Members members, const Backend& device, Nccl nccl,
                  std::unique_ptr<Stream> stream)
      : ForwardingCommunicator(ranks),
        members_(std::move(members)),
        device_(&device),
        nccl_(std::move(nccl)),
        stream_(std::move(stream)),
        gpus_(nccl_, *stream_, *members_.connected, ranks) {}

  std::string name() const override { return members_.several_hosts ? "nccl+mpi" : "nccl"; }
  bool Reaches(const Backend& device) const override {
    return &device == device_ || ranks().Reaches(device);
  }

  void Allreduce(void* data, int64_t count, WireType type, ReduceOp op) override {
    stream_->Enter();
    if (!stream_->Holds(data)) return ranks().Allreduce(data, count, type, op);
    if (!members_.several_hosts) return gpus_.Allreduce(data, count, type, op);
    gpus_.Reduce(data, count, type, op);
    if (members_.leaders) ReduceBetweenHosts(data, count, type, op);
    gpus_.Broadcast(data, static_cast<size_t>(count) * SizeOf(type));
  }

 private:
  // When it fails, the others of this host must not wait for it.
  void ReduceBetweenHosts(void* data, int64_t count, WireType type, ReduceOp op) {
    const size_t bytes = static_cast<size_t>(count) * SizeOf(type);
    try {
      if (staging_bytes_ < bytes) {
        staging_ = stream_->AllocatePinned(bytes);
        staging_bytes_ = bytes;
      }
      stream_->Download(data, staging_.get(), bytes);
      gpus_.Wait("copy from the GPU");
      members_.leaders->Allreduce(staging_.get(), count, type, op);
      stream_->Upload(staging_.get(), data, bytes);
    } catch (const Error& error) {
      ranks().Abort(error.what());
      throw;
    }
  }

  const Members members_;
  const Backend* const device_;  // which it is, not to be used
  const Nccl nccl_;
  const std::unique_ptr<Stream> stream_;
  GpuGroup<Stream> gpus_;
  std::shared_ptr<std::byte> staging_;
  size_t staging_bytes_ = 0;
};

}  // namespace lockstep::nccl

#endif  // LOCKSTEP_COMM_NCCL_GPU_COMMUNICATOR_INTERNAL_H_
