// Ranks that exchange buffers: one rank's view of a group of them.
#ifndef LOCKSTEP_COMM_COMMUNICATOR_H_
#define LOCKSTEP_COMM_COMMUNICATOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/error.h"

namespace lockstep {

// Another rank gave up, and says why itself.
class GaveUpError : public CommError {
 public:
  using CommError::CommError;
};

// Elements as they travel. Halves are widened to float32 for each addition and rounded to nearest
// even once, after the last.
enum class WireType : uint8_t {
  kFloat32,
  kFloat64,
  kFloat16,
  kBfloat16,
  kInt32,
  kInt64,
  kUint8,
};

enum class ReduceOp : uint8_t { kSum, kMin, kMax };

// Collectives: every rank of the group calls the same ones in the same order with the same sizes,
// from one thread at a time. They return when this rank's buffers may be read and written again.
// Sizes may be 0 and need not be multiples of anything. What fails throws CommError naming the
// collective and the rank; the group is then of no more use.
class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  // Among the ranks of this host.
  virtual int local_rank() const = 0;
  virtual int local_size() const = 0;
  // "self", "thread", "mpi", "shm", "shm+mpi", "nccl", "nccl+mpi"
  virtual std::string name() const = 0;
  // Whether Allreduce takes what lies in that device's memory as well as in the host's. What it
  // gets from there must be final: the device has done all work that writes it.
  virtual bool Reaches(const Backend& device) const { return device.shares_host_memory(); }

  // data[i] becomes the sum (...) of every rank's data[i], the same bits on every rank. They depend
  // on the values, the count and the ranks, never on timing; sums of integers wrap.
  virtual void Allreduce(void* data, int64_t count, WireType type, ReduceOp op) = 0;
  // The same for a part of the result: rank r gets elements [count * r / size, count * (r + 1) /
  // size) of it at their place in `data`; what the others hold is unspecified. In the host's
  // memory. Returns whether this rank's part is finite, as integers are.
  virtual bool ReduceScatter(void* data, int64_t count, WireType type, ReduceOp op) = 0;
  // all = the `bytes` of rank 0, then those of rank 1, ...
  virtual void Allgather(const void* mine, size_t bytes, void* all) = 0;
  virtual void Broadcast(void* data, size_t bytes, int root) = 0;
  virtual void Barrier() = 0;

  // Ranks that give the same color form a group, ordered by (key, rank). The parts live as long as
  // they are held, also beyond the whole.
  virtual std::unique_ptr<Communicator> Split(int color, int key) = 0;

  // Zeroed memory, aligned to 64 bytes, that Allreduce works on without copying it first. Every
  // rank calls it with the same size. It may outlive the communicator.
  virtual std::shared_ptr<std::byte> Allocate(size_t bytes) = 0;
  // Every rank calls it with memory of the same size from one Allocate, and may read that of each
  // from then on: they come in the order of the ranks, this one's among them. Nothing on all ranks
  // where they do not share memory. Ranks see to it by collectives that nobody reads what its rank
  // writes meanwhile.
  virtual std::vector<std::shared_ptr<const void>> Share(
      const std::shared_ptr<const void>& /*mine*/, size_t /*bytes*/) {
    return {};
  }

  // For who waits for the other ranks by another way than the above, in the thread that would call
  // them. Throws CommError, its text beginning with `what`, where one of them gave up or, as far as
  // can be known, is not there any more.
  virtual void CheckPeers(const char* what) = 0;

  // This rank gives up: what ranks of this host wait for, now or later, fails with GaveUpError and
  // `why`. Ranks on other hosts learn it from the launcher when this process ends. Any thread.
  virtual void Abort(const std::string& why) noexcept = 0;
};

constexpr size_t SizeOf(WireType type) {
  switch (type) {
    case WireType::kFloat64:
    case WireType::kInt64:
      return 8;
    case WireType::kFloat32:
    case WireType::kInt32:
      return 4;
    case WireType::kFloat16:
    case WireType::kBfloat16:
      return 2;
    case WireType::kUint8:
      return 1;
  }
  return 0;
}

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_COMMUNICATOR_H_
