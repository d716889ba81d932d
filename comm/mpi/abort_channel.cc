#include <cstdio>
#include <utility>

#include "comm/communicator.h"
#include "comm/mpi/abort_channel_internal.h"
#include "kernels/error.h"

namespace lockstep::mpi {

AbortChannel::AbortChannel(std::shared_ptr<Runtime> runtime, MPI_Comm handle,
                           std::shared_ptr<AbortChannel> whole)
    : group_(std::move(runtime), handle), whole_(std::move(whole)) {}

// The sends are small enough for MPI to take them at once; their requests are never waited for.
void AbortChannel::Abort(int world_rank, const std::string& why) noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!reason_.empty()) return;
  std::snprintf(sent_.data(), sent_.size(), "rank %d gave up: %s", world_rank, why.c_str());
  reason_ = sent_.data();
  for (int r = 0; r < group_.size(); ++r) {
    if (r == group_.rank()) continue;
    MPI_Request request = MPI_REQUEST_NULL;
    MPI_Isend(sent_.data(), static_cast<int>(sent_.size()), MPI_CHAR, r, 0, group_.get(), &request);
    if (request != MPI_REQUEST_NULL) MPI_Request_free(&request);
  }
}

void AbortChannel::Receive() {
  int there = 0;
  MPI_Iprobe(MPI_ANY_SOURCE, 0, group_.get(), &there, MPI_STATUS_IGNORE);
  if (there == 0) return;
  Text text{};
  MPI_Recv(text.data(), static_cast<int>(text.size()), MPI_CHAR, MPI_ANY_SOURCE, 0, group_.get(),
           MPI_STATUS_IGNORE);
  if (reason_.empty()) reason_ = text.data();
}

void AbortChannel::Check(const char* what, int world_rank) {
  if (whole_) whole_->Check(what, world_rank);
  const std::lock_guard<std::mutex> lock(mutex_);
  if (reason_.empty()) Receive();
  if (reason_.empty()) return;
  throw GaveUpError(std::string(what) + " on rank " + std::to_string(world_rank) + ": " + reason_);
}

}  // namespace lockstep::mpi
