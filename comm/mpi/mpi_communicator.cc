#include <sched.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "comm/hosts.h"
#include "comm/memory.h"
#include "comm/mpi/abort_channel_internal.h"
#include "comm/mpi/handles_internal.h"
#include "comm/mpi/mpi_world.h"
#include "comm/reduce.h"
#include "kernels/error.h"

namespace lockstep {
namespace mpi {
namespace {

// What one message carries at most in a group of several hosts. Open MPI sends so much over TCP at
// once (btl_tcp_eager_limit less its header, unless that was lowered); more is announced first, and
// where both ends announce on a busy wire each waits for it to empty: half of a slow link's time
// was lost with larger ones.
constexpr size_t kFarMessageBytes = size_t{60} << 10;
// What goes from each rank to each in a piece of a sum. Scratch memory is twice that for each rank,
// and one piece is summed while the next is on its way.
constexpr size_t kPieceBytes = 16 * kFarMessageBytes;
// What one call carries at most elsewhere: MPI counts in int, and waits should see ranks give up.
constexpr size_t kCallBytes = size_t{4} << 20;
// Up to here everyone sends everything to everyone and does all sums: one message in a row.
constexpr size_t kSmallBytes = 2048;
constexpr int kDataTag = 1;

int Count(size_t bytes) { return static_cast<int>(bytes); }

std::byte* Plus(void* data, size_t bytes) { return static_cast<std::byte*>(data) + bytes; }

// What has been handed to MPI and is waited for together.
using Messages = std::vector<MPI_Request>;

class MpiCommunicator final : public Communicator {
 public:
  // All ranks of the group make theirs together.
  MpiCommunicator(std::unique_ptr<Group> group, std::shared_ptr<AbortChannel> abort,
                  std::string host, int world_rank)
      : group_(std::move(group)),
        abort_(std::move(abort)),
        host_(std::move(host)),
        world_rank_(world_rank) {
    const std::vector<int> neighbours = RanksOfHost(*this, host_);
    local_size_ = static_cast<int>(neighbours.size());
    local_rank_ = static_cast<int>(std::find(neighbours.begin(), neighbours.end(), rank()) -
                                   neighbours.begin());
    message_bytes_ = local_size_ == size() ? kCallBytes : kFarMessageBytes;
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
  void Send(const void* data, size_t bytes, int to, const char* what, Messages* under_way);
  void Receive(void* data, size_t bytes, int from, const char* what, Messages* under_way);
  void Wait(const char* what, Messages* under_way);
  // Calls fn(rank) for all others, on each rank beginning with the next: not all with the same.
  template <typename Fn>
  void ForOthers(const Fn& fn) {
    for (int i = 1; i < size(); ++i) fn((rank() + i) % size());
  }
  // Sums these pieces of `data`, at least one, each with a part for every rank. A rank collects its
  // part of all others' buffers, reduces it and, if `send_to_all`, sends the result to all.
  //
  // Piece p + 1 is collected before p is waited for. MPI tells messages between two ranks apart by
  // their order alone: all post collect 0, collect 1, share 0, collect 2, share 1 and so on.
  void SumPieces(void* data, const std::vector<std::vector<Part>>& pieces, WireType type,
                 ReduceOp op, bool send_to_all, const char* what);
  std::vector<Part> PartsOf(Part whole) const;

  const std::unique_ptr<Group> group_;
  const std::shared_ptr<AbortChannel> abort_;
  const std::string host_;  // for groups split from this one
  const int world_rank_;
  int local_rank_ = 0;
  int local_size_ = 1;
  size_t message_bytes_ = kFarMessageBytes;  // until it is known where the others are
  std::array<std::vector<std::byte>, 2> scratch_;
};

void MpiCommunicator::Send(const void* data, size_t bytes, int to, const char* what,
                           Messages* under_way) {
  for (size_t begin = 0; begin < bytes; begin += message_bytes_) {
    Try(MPI_Isend(static_cast<const std::byte*>(data) + begin,
                  Count(std::min(message_bytes_, bytes - begin)), MPI_BYTE, to, kDataTag,
                  group_->get(), &under_way->emplace_back(MPI_REQUEST_NULL)),
        what);
  }
}

void MpiCommunicator::Receive(void* data, size_t bytes, int from, const char* what,
                              Messages* under_way) {
  for (size_t begin = 0; begin < bytes; begin += message_bytes_) {
    Try(MPI_Irecv(Plus(data, begin), Count(std::min(message_bytes_, bytes - begin)), MPI_BYTE, from,
                  kDataTag, group_->get(), &under_way->emplace_back(MPI_REQUEST_NULL)),
        what);
  }
}

// MPI's own waits would not notice that a rank gave up. When one did, what is under way is left to
// MPI: the process is about to end.
void MpiCommunicator::Wait(const char* what, Messages* under_way) {
  int done = 0;
  for (int tries = 1; done == 0; ++tries) {
    Try(MPI_Testall(static_cast<int>(under_way->size()), under_way->data(), &done,
                    MPI_STATUSES_IGNORE),
        what);
    if (done != 0) break;
    if (tries % 32 == 0) abort_->Check(what, world_rank_);
    if (tries % 8 == 0) ::sched_yield();
  }
  under_way->clear();
}

std::vector<Part> MpiCommunicator::PartsOf(Part whole) const {
  std::vector<Part> parts;
  for (int r = 0; r < size(); ++r) {
    const Part part = PartOf(whole.size(), r, size());
    parts.push_back({whole.begin + part.begin, whole.begin + part.end});
  }
  return parts;
}

void MpiCommunicator::SumPieces(void* data, const std::vector<std::vector<Part>>& pieces,
                                WireType type, ReduceOp op, bool send_to_all, const char* what) {
  const size_t element = SizeOf(type);
  const auto at = [&](const Part& part) {
    return Plus(data, static_cast<size_t>(part.begin) * element);
  };
  const auto bytes = [&](const Part& part) { return static_cast<size_t>(part.size()) * element; };
  const auto own = [&](size_t piece) { return pieces[piece][static_cast<size_t>(rank())]; };
  const auto slot = [&](size_t piece, int r) {
    return scratch_[piece % 2].data() + static_cast<size_t>(r) * bytes(own(piece));
  };
  // [p % 2]: what collects piece p and shares piece p - 1. Scratch memory is used again two pieces
  // later, when its sum is made.
  std::array<Messages, 2> under_way;
  const auto collect = [&](size_t piece) {
    std::vector<std::byte>& scratch = scratch_[piece % 2];
    scratch.resize(std::max(scratch.size(), bytes(own(piece)) * static_cast<size_t>(size())));
    ForOthers([&](int r) {
      const Part theirs = pieces[piece][static_cast<size_t>(r)];
      Receive(slot(piece, r), bytes(own(piece)), r, what, &under_way[piece % 2]);
      Send(at(theirs), bytes(theirs), r, what, &under_way[piece % 2]);
    });
  };
  const auto share = [&](size_t piece) {
    ForOthers([&](int r) {
      const Part theirs = pieces[piece][static_cast<size_t>(r)];
      Receive(at(theirs), bytes(theirs), r, what, &under_way[(piece + 1) % 2]);
      Send(at(own(piece)), bytes(own(piece)), r, what, &under_way[(piece + 1) % 2]);
    });
  };
  std::vector<const void*> sources(static_cast<size_t>(size()));
  collect(0);
  for (size_t piece = 0; piece < pieces.size(); ++piece) {
    if (piece + 1 < pieces.size()) collect(piece + 1);
    Wait(what, &under_way[piece % 2]);
    void* const output = at(own(piece));
    for (int r = 0; r < size(); ++r) {
      sources[static_cast<size_t>(r)] = r == rank() ? output : slot(piece, r);
    }
    Reduce(sources, {&output, 1}, own(piece).size(), type, op);
    if (send_to_all) share(piece);
  }
  Wait(what, &under_way[pieces.size() % 2]);
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
  std::vector<std::vector<Part>> pieces;
  const auto step = static_cast<int64_t>(kPieceBytes / element) * size();
  for (int64_t begin = 0; begin < count; begin += step) {
    pieces.push_back(PartsOf({begin, std::min(begin + step, count)}));
  }
  SumPieces(data, pieces, type, op, /*send_to_all=*/true, what);
}

bool MpiCommunicator::ReduceScatter(void* data, int64_t count, WireType type, ReduceOp op) {
  const char* const what = "reduce-scatter";
  abort_->Check(what, world_rank_);
  if (size() == 1) return AllFinite(data, count, type);
  const std::vector<Part> whole = PartsOf({0, count});
  std::vector<std::vector<Part>> pieces;
  const auto step = static_cast<int64_t>(kPieceBytes / SizeOf(type));
  for (int64_t done = 0; done <= count / size(); done += step) {
    std::vector<Part>& parts = pieces.emplace_back();
    for (const Part& part : whole) {
      const int64_t begin = std::min(part.begin + done, part.end);
      parts.push_back({begin, std::min(begin + step, part.end)});
    }
  }
  SumPieces(data, pieces, type, op, /*send_to_all=*/false, what);
  const Part& mine = whole[static_cast<size_t>(rank())];
  return AllFinite(Plus(data, static_cast<size_t>(mine.begin) * SizeOf(type)), mine.size(), type);
}

void MpiCommunicator::Allgather(const void* mine, size_t bytes, void* all) {
  const char* const what = "allgather";
  abort_->Check(what, world_rank_);
  if (bytes == 0) return;
  std::memmove(Plus(all, static_cast<size_t>(rank()) * bytes), mine, bytes);
  Messages under_way;
  for (size_t begin = 0; begin < bytes; begin += kCallBytes) {
    const size_t piece = std::min(kCallBytes, bytes - begin);
    ForOthers([&](int r) {
      Receive(Plus(all, static_cast<size_t>(r) * bytes + begin), piece, r, what, &under_way);
      Send(Plus(all, static_cast<size_t>(rank()) * bytes + begin), piece, r, what, &under_way);
    });
  }
  Wait(what, &under_way);
}

void MpiCommunicator::Broadcast(void* data, size_t bytes, int root) {
  const char* const what = "broadcast";
  abort_->Check(what, world_rank_);
  for (size_t begin = 0; begin < bytes; begin += kCallBytes) {
    const size_t piece = std::min(kCallBytes, bytes - begin);
    Messages under_way = {MPI_REQUEST_NULL};
    Try(MPI_Ibcast(Plus(data, begin), Count(piece), MPI_BYTE, root, group_->get(),
                   under_way.data()),
        what);
    Wait(what, &under_way);
  }
}

void MpiCommunicator::Barrier() {
  abort_->Check("barrier", world_rank_);
  Messages under_way = {MPI_REQUEST_NULL};
  Try(MPI_Ibarrier(group_->get(), under_way.data()), "barrier");
  Wait("barrier", &under_way);
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
  return std::make_unique<MpiCommunicator>(std::move(group), std::move(abort), host_, world_rank_);
}

}  // namespace
}  // namespace mpi

bool HasMpi() { return true; }

std::unique_ptr<Communicator> MakeMpiWorld(const std::string& host) {
  auto runtime = std::make_shared<mpi::Runtime>();
  MPI_Comm data = MPI_COMM_NULL;
  MPI_Comm channel = MPI_COMM_NULL;
  mpi::Check(MPI_Comm_dup(MPI_COMM_WORLD, &data), "start of MPI", 0);
  auto group = std::make_unique<mpi::Group>(runtime, data);
  mpi::Check(MPI_Comm_dup(MPI_COMM_WORLD, &channel), "start of MPI", group->rank());
  auto abort = std::make_shared<mpi::AbortChannel>(runtime, channel, nullptr);
  const int rank = group->rank();
  return std::make_unique<mpi::MpiCommunicator>(std::move(group), std::move(abort), host, rank);
}

void PlainMpiAllreduce(float* data, int64_t count) {
  if (count > INT32_MAX) throw CommError("MPI counts to 2^31 - 1 elements", ExitCode::kUsage);
  mpi::Check(MPI_Allreduce(MPI_IN_PLACE, data, static_cast<int>(count), MPI_FLOAT, MPI_SUM,
                           MPI_COMM_WORLD),
             "MPI_Allreduce", 0);
}

}  // namespace lockstep
