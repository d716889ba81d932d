// How a rank that gives up reaches ranks that wait inside MPI.
#ifndef LOCKSTEP_COMM_MPI_ABORT_CHANNEL_INTERNAL_H_
#define LOCKSTEP_COMM_MPI_ABORT_CHANNEL_INTERNAL_H_

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "comm/mpi/handles_internal.h"

namespace lockstep::mpi {

// A communicator beside the one that carries data. Groups that were split from this one look at
// its channel too.
class AbortChannel {
 public:
  AbortChannel(std::shared_ptr<Runtime> runtime, MPI_Comm handle,
               std::shared_ptr<AbortChannel> whole);

  // Tells all ranks of the group, this one included. The first reason counts. Any thread.
  void Abort(int world_rank, const std::string& why) noexcept;
  // Throws CommError when a rank of this group, or of one that holds it, gave up.
  void Check(const char* what, int world_rank);

 private:
  using Text = std::array<char, 768>;
  void Receive();

  Group group_;
  const std::shared_ptr<AbortChannel> whole_;
  std::mutex mutex_;
  std::string reason_;  // "rank 3 gave up: ..."
  Text sent_{};         // stays while MPI sends it
};

}  // namespace lockstep::mpi

#endif  // LOCKSTEP_COMM_MPI_ABORT_CHANNEL_INTERNAL_H_
