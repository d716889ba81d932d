#include <sched.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "comm/memory.h"
#include "comm/mpi/abort_channel_internal.h"
#include "comm/mpi/handles_internal.h"
#include "comm/mpi/mpi_world.h"
#include "comm/reduce.h"
#include "kernels/error.h"

namespace lockstep {
namespace mpi {
namespace {

// Bytes that one MPI call carries at most: scratch memory is a multiple of it, and MPI counts in
// int.
constexpr size_t kPieceBytes = size_t{4} << 20;
// Up to here everyone sends everything to everyone and does all sums: one message in a row.
constexpr size_t kSmallBytes = 2048;
constexpr int kDataTag = 1;

int Count(size_t bytes) { return static_cast<int>(bytes); }

std::byte* Plus(void* data, size_t bytes) { return static_cast<std::byte*>(data) + bytes; }

class MpiCommunicator : public Communicator {
 public:
  MpiCommunicator(std::unique_ptr<Group> group, std::shared_ptr<AbortChannel> abort, int world_rank)
      : group_(std::move(group)), abort_(std::move(abort)), world_rank_(world_rank) {
    MPI_Comm host = MPI_COMM_NULL;
    Try(MPI_Comm_split_type(group_->get(), MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host), "start");
    MPI_Comm_rank(host, &local_rank_);
    MPI_Comm_size(host, &local_size_);
    MPI_Comm_free(&host);
  }

  int rank() const override { return group_->rank(); }
  int size() const override { return group_->size(); }
  int local_rank() const override { return local_rank_; }
  int local_size() const override { return local_size_; }
  std::string name() const override { return "mpi"; }

  void Allreduce(void* data, int64_t count, WireType type, ReduceOp op) override;
  bool ReduceScatter(void* data, int64_t count, WireType type, ReduceOp op) override;
  void Allgather(const void* mine, size_t bytes, void* all) override;
  void Broadcast(void* data, size_t bytes, int root) override;
  void Barrier() override;
  std::unique_ptr<Communicator> Split(int color, int key) override;
  std::shared_ptr<std::byte> Allocate(size_t bytes) override { return AllocateZeroed(bytes); }
  void CheckPeers(const char* what) override { abort_->Check(what, world_rank_); }
  void Abort(const std::string& why) noexcept override { abort_->Abort(world_rank_, why); }

 private:
  void Try(int code, const char* what) { mpi::Check(code, what, world_rank_); }
  void Send(const void* data, size_t bytes, int to, const char* what);
  void Receive(void* data, size_t bytes, int from, const char* what);
  void Wait(const char* what);
  void ReduceParts(void* data, const std::vector<Part>& parts, WireType type, ReduceOp op,
                   const char* what);
  void ShareParts(void* data, const std::vector<Part>& parts, size_t element, const char* what);
  std::vector<Part> PartsOf(Part whole) const;

  const std::unique_ptr<Group> group_;
  const std::shared_ptr<AbortChannel> abort_;
  const int world_rank_;
  int local_rank_ = 0;
  int local_size_ = 1;
  std::vector<MPI_Request> requests_;
  std::vector<std::byte> scratch_;
};

void MpiCommunicator::Send(const void* data, size_t bytes, int to, const char* what) {
  MPI_Request request = MPI_REQUEST_NULL;
  Try(MPI_Isend(data, Count(bytes), MPI_BYTE, to, kDataTag, group_->get(), &request), what);
  requests_.push_back(request);
}

void MpiCommunicator::Receive(void* data, size_t bytes, int from, const char* what) {
  MPI_Request request = MPI_REQUEST_NULL;
  Try(MPI_Irecv(data, Count(bytes), MPI_BYTE, from, kDataTag, group_->get(), &request), what);
  requests_.push_back(request);
}

// MPI's own waits would not notice that a rank gave up. When one did, what is under way is left to
// MPI: the process is about to end.
void MpiCommunicator::Wait(const char* what) {
  int done = 0;
  for (int tries = 1; done == 0; ++tries) {
    Try(MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &done,
                    MPI_STATUSES_IGNORE),
        what);
    if (done != 0) break;
    if (tries % 32 == 0) abort_->Check(what, world_rank_);
    if (tries % 8 == 0) ::sched_yield();
  }
  requests_.clear();
}

std::vector<Part> MpiCommunicator::PartsOf(Part whole) const {
  std::vector<Part> parts;
  for (int r = 0; r < size(); ++r) {
    const Part part = PartOf(whole.size(), r, size());
    parts.push_back({whole.begin + part.begin, whole.begin + part.end});
  }
  return parts;
}

// Every rank gets its part of all others' buffers and reduces it into its own.
void MpiCommunicator::ReduceParts(void* data, const std::vector<Part>& parts, WireType type,
                                  ReduceOp op, const char* what) {
  const size_t element = SizeOf(type);
  const auto at = [&](const Part& part) {
    return Plus(data, static_cast<size_t>(part.begin) * element);
  };
  const Part own = parts[static_cast<size_t>(rank())];
  const size_t own_bytes = static_cast<size_t>(own.size()) * element;
  scratch_.resize(std::max(scratch_.size(), own_bytes * static_cast<size_t>(size())));
  std::vector<const void*> sources;
  sources.reserve(static_cast<size_t>(size()));
  for (int r = 0; r < size(); ++r) {
    std::byte* const slot = scratch_.data() + static_cast<size_t>(r) * own_bytes;
    sources.push_back(r == rank() ? at(own) : slot);
    if (r == rank()) continue;
    const Part& theirs = parts[static_cast<size_t>(r)];
    Receive(slot, own_bytes, r, what);
    Send(at(theirs), static_cast<size_t>(theirs.size()) * element, r, what);
  }
  Wait(what);
  void* const output = at(own);
  Reduce(sources, {&output, 1}, own.size(), type, op);
}

// Every rank sends its part to all others.
void MpiCommunicator::ShareParts(void* data, const std::vector<Part>& parts, size_t element,
                                 const char* what) {
  const auto begin = [&](int r) {
    return Plus(data, static_cast<size_t>(parts[static_cast<size_t>(r)].begin) * element);
  };
  const auto bytes = [&](int r) {
    return static_cast<size_t>(parts[static_cast<size_t>(r)].size()) * element;
  };
  for (int r = 0; r < size(); ++r) {
    if (r == rank()) continue;
    Receive(begin(r), bytes(r), r, what);
    Send(begin(rank()), bytes(rank()), r, what);
  }
  Wait(what);
}

void MpiCommunicator::Allreduce(void* data, int64_t count, WireType type, ReduceOp op) {
  const char* const what = "allreduce";
  abort_->Check(what, world_rank_);
  const size_t element = SizeOf(type);
  const size_t bytes = static_cast<size_t>(count) * element;
  if (size() == 1 || count == 0) return;
  if (bytes <= kSmallBytes) {
    std::vector<std::byte> all(bytes * static_cast<size_t>(size()));
    Allgather(data, bytes, all.data());
    std::vector<const void*> sources;
    sources.reserve(static_cast<size_t>(size()));
    for (int r = 0; r < size(); ++r) sources.push_back(all.data() + static_cast<size_t>(r) * bytes);
    return Reduce(sources, {&data, 1}, count, type, op);
  }
  const auto step = static_cast<int64_t>(kPieceBytes / element) * size();
  for (int64_t begin = 0; begin < count; begin += step) {
    const std::vector<Part> parts = PartsOf({begin, std::min(begin + step, count)});
    ReduceParts(data, parts, type, op, what);
    ShareParts(data, parts, element, what);
  }
}

bool MpiCommunicator::ReduceScatter(void* data, int64_t count, WireType type, ReduceOp op) {
  const char* const what = "reduce-scatter";
  abort_->Check(what, world_rank_);
  if (size() == 1) return AllFinite(data, count, type);
  const std::vector<Part> whole = PartsOf({0, count});
  const auto step = static_cast<int64_t>(kPieceBytes / SizeOf(type));
  for (int64_t done = 0; done <= count / size(); done += step) {
    std::vector<Part> parts;
    for (const Part& part : whole) {
      const int64_t begin = std::min(part.begin + done, part.end);
      parts.push_back({begin, std::min(begin + step, part.end)});
    }
    ReduceParts(data, parts, type, op, what);
  }
  const Part& mine = whole[static_cast<size_t>(rank())];
  return AllFinite(Plus(data, static_cast<size_t>(mine.begin) * SizeOf(type)), mine.size(), type);
}

void MpiCommunicator::Allgather(const void* mine, size_t bytes, void* all) {
  const char* const what = "allgather";
  abort_->Check(what, world_rank_);
  if (bytes == 0) return;
  std::memmove(Plus(all, static_cast<size_t>(rank()) * bytes), mine, bytes);
  for (size_t begin = 0; begin < bytes; begin += kPieceBytes) {
    const size_t piece = std::min(kPieceBytes, bytes - begin);
    for (int r = 0; r < size(); ++r) {
      if (r == rank()) continue;
      Receive(Plus(all, static_cast<size_t>(r) * bytes + begin), piece, r, what);
      Send(Plus(all, static_cast<size_t>(rank()) * bytes + begin), piece, r, what);
    }
    Wait(what);
  }
}

void MpiCommunicator::Broadcast(void* data, size_t bytes, int root) {
  const char* const what = "broadcast";
  abort_->Check(what, world_rank_);
  for (size_t begin = 0; begin < bytes; begin += kPieceBytes) {
    const size_t piece = std::min(kPieceBytes, bytes - begin);
    MPI_Request request = MPI_REQUEST_NULL;
    Try(MPI_Ibcast(Plus(data, begin), Count(piece), MPI_BYTE, root, group_->get(), &request), what);
    requests_.push_back(request);
    Wait(what);
  }
}

void MpiCommunicator::Barrier() {
  abort_->Check("barrier", world_rank_);
  MPI_Request request = MPI_REQUEST_NULL;
  Try(MPI_Ibarrier(group_->get(), &request), "barrier");
  requests_.push_back(request);
  Wait("barrier");
}

// MPI knows colors from 0 on only: they are numbered as they come by rank.
std::unique_ptr<Communicator> MpiCommunicator::Split(int color, int key) {
  std::vector<int32_t> colors(static_cast<size_t>(size()));
  const int32_t mine = color;
  Allgather(&mine, sizeof mine, colors.data());
  std::map<int32_t, int> numbers;
  for (const int32_t c : colors) numbers.emplace(c, static_cast<int>(numbers.size()));
  MPI_Comm data = MPI_COMM_NULL;
  MPI_Comm channel = MPI_COMM_NULL;
  Try(MPI_Comm_split(group_->get(), numbers.at(color), key, &data), "split");
  auto group = std::make_unique<Group>(group_->runtime(), data);
  Try(MPI_Comm_dup(group->get(), &channel), "split");
  auto abort = std::make_shared<AbortChannel>(group_->runtime(), channel, abort_);
  return std::make_unique<MpiCommunicator>(std::move(group), std::move(abort), world_rank_);
}

}  // namespace
}  // namespace mpi

bool HasMpi() { return true; }

std::unique_ptr<Communicator> MakeMpiWorld() {
  auto runtime = std::make_shared<mpi::Runtime>();
  MPI_Comm data = MPI_COMM_NULL;
  MPI_Comm channel = MPI_COMM_NULL;
  mpi::Check(MPI_Comm_dup(MPI_COMM_WORLD, &data), "start of MPI", 0);
  auto group = std::make_unique<mpi::Group>(runtime, data);
  mpi::Check(MPI_Comm_dup(MPI_COMM_WORLD, &channel), "start of MPI", group->rank());
  auto abort = std::make_shared<mpi::AbortChannel>(runtime, channel, nullptr);
  const int rank = group->rank();
  return std::make_unique<mpi::MpiCommunicator>(std::move(group), std::move(abort), rank);
}

void PlainMpiAllreduce(float* data, int64_t count) {
  if (count > INT32_MAX) throw CommError("MPI counts to 2^31 - 1 elements", ExitCode::kUsage);
  mpi::Check(MPI_Allreduce(MPI_IN_PLACE, data, static_cast<int>(count), MPI_FLOAT, MPI_SUM,
                           MPI_COMM_WORLD),
             "MPI_Allreduce", 0);
}

}  // namespace lockstep
