// Ranks that NCCL connects.
#ifndef LOCKSTEP_COMM_NCCL_GPU_GROUP_INTERNAL_H_
#define LOCKSTEP_COMM_NCCL_GPU_GROUP_INTERNAL_H_

#include <sched.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>

#include "comm/communicator.h"
#include "comm/nccl/library_internal.h"
#include "kernels/error.h"

namespace lockstep::nccl {

// Collectives on memory of the ranks' GPUs, which are done when they return. One thread, which has
// entered the stream's device. Stream: cuda::SideStream, or what a test has in its place.
template <typename Stream>
class GpuGroup {
 public:
  // Those of `members`, which brings them together and is not needed afterwards. While this rank
  // waits it asks `whole`, in which messages count ranks, for those that are lost. Throws
  // CommError. The others must outlive this.
  GpuGroup(const Nccl& nccl, Stream& stream, Communicator& members, Communicator& whole)
      : nccl_(nccl), stream_(stream), whole_(whole) {
    OrAbort([&] { Start(members); });
  }
  // Nothing is under way, or nobody waits for it any more.
  ~GpuGroup() { Abort(); }
  GpuGroup(const GpuGroup&) = delete;
  GpuGroup& operator=(const GpuGroup&) = delete;

  void Allreduce(void* data, int64_t count, WireType type, ReduceOp op) {
    Run("allreduce", [&] {
      return nccl_.AllReduce(data, data, static_cast<size_t>(count), TypeOf(type), OpOf(op), comm_,
                             stream_.handle());
    });
  }
  // To the first rank; what the others hold then is unspecified.
  void Reduce(void* data, int64_t count, WireType type, ReduceOp op) {
    Run("reduce", [&] {
      return nccl_.Reduce(data, data, static_cast<size_t>(count), TypeOf(type), OpOf(op), 0, comm_,
                          stream_.handle());
    });
  }
  // From the first rank.
  void Broadcast(void* data, size_t bytes) {
    Run("broadcast",
        [&] { return nccl_.Broadcast(data, data, bytes, ncclUint8, 0, comm_, stream_.handle()); });
  }
  // Until the stream has done what it was given, by NCCL or not.
  void Wait(const char* what);

 private:
  using Clock = std::chrono::steady_clock;
  // Between questions for lost ranks: each may cost a system call a rank.
  static constexpr std::chrono::milliseconds kAskPeers{50};

  // What the first rank tells the others.
  struct Invitation {
    std::array<char, 256> failure{};  // "": none
    ncclUniqueId id{};
  };

  void Start(Communicator& members);
  // begin() gives NCCL work; returns when it is done.
  template <typename Begin>
  void Run(const char* what, const Begin& begin);
  // What fails ends the group: NCCL must not wait for ranks that do not come.
  template <typename Body>
  void OrAbort(const Body& body);
  // Until NCCL has taken what it was given: its calls do not block.
  void Settle(const char* what);
  void Try(ncclResult_t status, const char* what) const {
    if (status != ncclSuccess && status != ncclInProgress) Fail(status, what);
  }
  ncclResult_t State(const char* what) const;
  void Pause(const char* what);
  [[noreturn]] void Fail(ncclResult_t status, const char* what) const;
  std::string Where(const char* what) const {
    return std::string(what) + " on rank " + std::to_string(whole_.rank()) + ": ";
  }
  // Waits for no other rank.
  void Abort() noexcept {
    if (comm_ != nullptr) nccl_.CommAbort(std::exchange(comm_, nullptr));
  }

  const Nccl& nccl_;
  Stream& stream_;
  Communicator& whole_;
  ncclComm_t comm_ = nullptr;  // null again when it was aborted
  Clock::time_point asked_ = Clock::now();
};

template <typename Stream>
template <typename Body>
void GpuGroup<Stream>::OrAbort(const Body& body) {
  try {
    body();
  } catch (...) {
    Abort();
    throw;
  }
}

template <typename Stream>
void GpuGroup<Stream>::Start(Communicator& members) {
  const char* const what = "start of NCCL";
  Invitation invitation;
  if (members.rank() == 0) {
    const ncclResult_t status = nccl_.GetUniqueId(&invitation.id);
    if (status != ncclSuccess) {
      std::snprintf(invitation.failure.data(), invitation.failure.size(), "%s",
                    nccl_.Text(status, nullptr).c_str());
    }
  }
  members.Broadcast(&invitation, sizeof invitation, 0);
  if (invitation.failure[0] != '\0') {
    throw CommError(Where(what) + invitation.failure.data() + "; NCCL_DEBUG=WARN says more",
                    ExitCode::kBadCluster);
  }
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;  // a rank that is lost meanwhile is noticed
  Try(nccl_.CommInitRankConfig(&comm_, members.size(), invitation.id, members.rank(), &config),
      what);
  Settle(what);
}

template <typename Stream>
template <typename Begin>
void GpuGroup<Stream>::Run(const char* what, const Begin& begin) {
  if (comm_ == nullptr) throw CommError(Where(what) + "NCCL has failed before");
  OrAbort([&] {
    Try(begin(), what);
    Settle(what);
    Wait(what);
  });
}

template <typename Stream>
void GpuGroup<Stream>::Wait(const char* what) {
  stream_.Mark();
  while (!stream_.IsDone()) {
    if (const ncclResult_t state = State(what); state != ncclSuccess) Fail(state, what);
    Pause(what);
  }
}

template <typename Stream>
void GpuGroup<Stream>::Settle(const char* what) {
  for (;;) {
    const ncclResult_t state = State(what);
    if (state == ncclSuccess) return;
    if (state != ncclInProgress) Fail(state, what);
    Pause(what);
  }
}

template <typename Stream>
ncclResult_t GpuGroup<Stream>::State(const char* what) const {
  ncclResult_t state = ncclSuccess;
  const ncclResult_t status = nccl_.CommGetAsyncError(comm_, &state);
  if (status != ncclSuccess) Fail(status, what);
  return state;
}

template <typename Stream>
void GpuGroup<Stream>::Pause(const char* what) {
  ::sched_yield();
  const Clock::time_point now = Clock::now();
  if (now - asked_ < kAskPeers) return;
  asked_ = now;
  whole_.CheckPeers(what);
}

template <typename Stream>
void GpuGroup<Stream>::Fail(ncclResult_t status, const char* what) const {
  throw CommError(Where(what) + nccl_.Text(status, comm_) +
                  "; NCCL_DEBUG=WARN says more; start the job again from its newest checkpoint");
}

}  // namespace lockstep::nccl

#endif  // LOCKSTEP_COMM_NCCL_GPU_GROUP_INTERNAL_H_
