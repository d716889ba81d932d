#include "comm/local/local_communicator.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "kernels/error.h"

namespace lockstep {
namespace {

// Two staging buffers of a rank stay in the second-level cache. Smaller ones would mean more
// meetings, which cost most when other programs want the cores.
constexpr int64_t kStageBytes = 512 * 1024;
// Up to here a second meeting costs more than everyone doing everyone's sums.
constexpr int64_t kSmallBytes = 8 * 1024;

constexpr size_t kLine = 128;
constexpr size_t RoundUp(size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

void Copy(void* to, const void* from, size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

}  // namespace

// How a large buffer travels: in every piece each rank has a slot of the staging buffers, in which
// lies the next stretch of its part.
class LocalCommunicator::Pieces {
 public:
  Pieces(const Note& note, int size)
      : note_(note),
        size_(size),
        element_(static_cast<int64_t>(SizeOf(note.type))),
        slot_(std::max<int64_t>(kStageBytes / size / 64 * 64, 64) / element_) {}

  int64_t count() const {
    const int64_t largest_part = (note_.count + size_ - 1) / size_;
    return (largest_part + slot_ - 1) / slot_;
  }
  // Elements of the whole buffer.
  Part Of(int rank, int64_t piece) const {
    const Part part = PartOf(note_.count, rank, size_);
    const int64_t begin = std::min(part.begin + piece * slot_, part.end);
    return {begin, std::min(begin + slot_, part.end)};
  }
  size_t SlotOffset(int rank) const { return static_cast<size_t>(rank * slot_ * element_); }
  size_t Bytes(int64_t elements) const { return static_cast<size_t>(elements * element_); }
  const Note& note() const { return note_; }

 private:
  const Note note_;
  const int size_;
  const int64_t element_;
  const int64_t slot_;  // elements
};

size_t LocalCommunicator::MemoryFor(int size) {
  const size_t ranks = static_cast<size_t>(size);
  return RoundUp(Meeting::BytesFor(size)) + ranks * 2 * RoundUp(sizeof(Note)) +
         ranks * 2 * static_cast<size_t>(std::max<int64_t>(kStageBytes, 64 * size));
}

LocalCommunicator::LocalCommunicator(std::shared_ptr<std::byte> memory, Meeting::Who who,
                                     Meeting::IsDead is_dead)
    : memory_(std::move(memory)),
      who_(who),
      board_(memory_.get() + RoundUp(Meeting::BytesFor(who.size))),
      stages_(board_ + static_cast<size_t>(who.size) * 2 * RoundUp(sizeof(Note))),
      meeting_(memory_.get(), who, std::move(is_dead)) {}

const char* LocalCommunicator::NameOf(Kind kind) {
  switch (kind) {
    case Kind::kAllreduce:
      return "allreduce";
    case Kind::kReduceScatter:
      return "reduce-scatter";
    case Kind::kAllgather:
      return "allgather";
    case Kind::kBroadcast:
      return "broadcast";
    case Kind::kBarrier:
      return "barrier";
    case Kind::kNone:
      break;
  }
  return "nothing";
}

std::string LocalCommunicator::Describe(const Note& note) {
  return std::string(NameOf(note.kind)) + " of " + std::to_string(note.count) + " elements (type " +
         std::to_string(static_cast<int>(note.type)) + ", operation " +
         std::to_string(static_cast<int>(note.op)) + ", root " + std::to_string(note.root) + ")";
}

// In turn, as the staging buffers are.
LocalCommunicator::Note& LocalCommunicator::NoteOf(int rank) const {
  const size_t index = static_cast<size_t>(rank) * 2 + opened_ % 2;
  return *reinterpret_cast<Note*>(board_ + index * RoundUp(sizeof(Note)));
}

// The first meeting of every collective.
void LocalCommunicator::Open(const Note& note) {
  ++opened_;
  NoteOf(who_.rank) = note;
  meeting_.Meet(NameOf(note.kind));
  for (int r = 0; r < who_.size; ++r) {
    const Note& other = NoteOf(r);
    if (other.kind == note.kind && other.type == note.type && other.op == note.op &&
        other.root == note.root && other.count == note.count) {
      continue;
    }
    throw CommError("ranks disagree: rank " + std::to_string(who_.world_rank) + " is in " +
                        Describe(note) + ", " + meeting_.Describe(r) + " in " + Describe(other) +
                        "; every rank must run the same program on the same settings",
                    ExitCode::kDisagree);
  }
}

// All ranks come to the same answer: they look at the same notes, and memory that one of them uses
// is seen by all.
bool LocalCommunicator::ReachAll(std::vector<void*>* buffers) const {
  for (int r = 0; r < who_.size; ++r) {
    const Place place = NoteOf(r).place;
    if (place.region == 0) return false;
    buffers->push_back(Reach(r, place));
  }
  return true;
}

std::byte* LocalCommunicator::Stage(int rank, uint64_t turn) const {
  const size_t stage = static_cast<size_t>(std::max<int64_t>(kStageBytes, 64 * who_.size));
  return stages_ + (static_cast<size_t>(rank) * 2 + turn % 2) * stage;
}

void LocalCommunicator::Allreduce(void* data, int64_t count, WireType type, ReduceOp op) {
  const size_t bytes = static_cast<size_t>(count) * SizeOf(type);
  Note note{.kind = Kind::kAllreduce, .type = type, .op = op, .count = count};
  std::byte* const mine = static_cast<std::byte*>(data);
  if (who_.size == 1) return meeting_.Check(NameOf(note.kind));
  if (bytes <= kSmallBytes) {
    ReduceSmall(mine, note, {0, count});
    return;
  }
  note.place = PlaceOf(data, bytes);
  Open(note);
  std::vector<void*> buffers;
  if (ReachAll(&buffers)) {
    ReduceInPlace(buffers, note);
  } else {
    AllreduceStaged(mine, note);
  }
}

bool LocalCommunicator::ReduceScatter(void* data, int64_t count, WireType type, ReduceOp op) {
  const size_t bytes = static_cast<size_t>(count) * SizeOf(type);
  Note note{.kind = Kind::kReduceScatter, .type = type, .op = op, .count = count};
  std::byte* const mine = static_cast<std::byte*>(data);
  if (who_.size == 1) {
    meeting_.Check(NameOf(note.kind));
    return AllFinite(data, count, type);
  }
  if (bytes <= kSmallBytes) return ReduceSmall(mine, note, PartOf(count, who_.rank, who_.size));
  note.place = PlaceOf(data, bytes);
  Open(note);
  std::vector<void*> buffers;
  if (ReachAll(&buffers)) return ReduceInPlace(buffers, note);
  return ReduceScatterStaged(mine, note);
}

bool LocalCommunicator::Reduced(const Note& note, std::span<const void* const> sources,
                                std::span<void* const> outputs, int64_t count) {
  if (note.kind == Kind::kReduceScatter) {
    return ReduceAndCheck(sources, outputs, count, note.type, note.op);
  }
  Reduce(sources, outputs, count, note.type, note.op);
  return true;
}

// Everybody's buffer is staged whole; this rank reduces `part` of them.
bool LocalCommunicator::ReduceSmall(std::byte* data, const Note& note, Part part) {
  const size_t element = SizeOf(note.type);
  const size_t offset = static_cast<size_t>(part.begin) * element;
  Copy(Stage(who_.rank, turn_), data, static_cast<size_t>(note.count) * element);
  Open(note);
  std::vector<const void*> sources;
  sources.reserve(static_cast<size_t>(who_.size));
  for (int r = 0; r < who_.size; ++r) sources.push_back(Stage(r, turn_) + offset);
  void* const output = data + offset;
  ++turn_;
  return Reduced(note, sources, {&output, 1}, part.size());
}

bool LocalCommunicator::ReduceInPlace(const std::vector<void*>& buffers, const Note& note) {
  const Part part = PartOf(note.count, who_.rank, who_.size);
  const size_t offset = static_cast<size_t>(part.begin) * SizeOf(note.type);
  std::vector<void*> parts;
  parts.reserve(buffers.size());
  for (void* buffer : buffers) parts.push_back(static_cast<std::byte*>(buffer) + offset);
  const std::vector<const void*> sources(parts.begin(), parts.end());
  const std::span<void* const> mine(&parts[static_cast<size_t>(who_.rank)], 1);
  const bool for_all = note.kind == Kind::kAllreduce;
  const bool finite =
      Reduced(note, sources, for_all ? std::span<void* const>(parts) : mine, part.size());
  meeting_.Meet(NameOf(note.kind));
  return finite;
}

// Piece s is copied in, s - 1 reduced and s - 2 copied out between two meetings. A rank's own slot
// is not copied in: the reduced piece is put there for the others.
void LocalCommunicator::AllreduceStaged(std::byte* data, const Note& note) {
  const Pieces pieces(note, who_.size);
  const int64_t count = pieces.count();
  for (int64_t s = 0; s < count + 2; ++s) {
    if (s < count) CopyIn(data, pieces, s);
    if (s >= 1 && s <= count) ReducePiece(data, pieces, s - 1);
    if (s >= 2) CopyOut(data, pieces, s - 2);
    if (s <= count) meeting_.Meet(NameOf(note.kind));
  }
  turn_ += static_cast<uint64_t>(count);
}

bool LocalCommunicator::ReduceScatterStaged(std::byte* data, const Note& note) {
  const Pieces pieces(note, who_.size);
  const int64_t count = pieces.count();
  bool finite = true;
  for (int64_t s = 0; s < count; ++s) {
    CopyIn(data, pieces, s);
    meeting_.Meet(NameOf(note.kind));
    finite = ReducePiece(data, pieces, s) && finite;
  }
  turn_ += static_cast<uint64_t>(count);
  return finite;
}

void LocalCommunicator::CopyIn(const std::byte* data, const Pieces& pieces, int64_t piece) {
  std::byte* const stage = Stage(who_.rank, turn_ + static_cast<uint64_t>(piece));
  for (int r = 0; r < who_.size; ++r) {
    if (r == who_.rank) continue;
    const Part part = pieces.Of(r, piece);
    Copy(stage + pieces.SlotOffset(r), data + pieces.Bytes(part.begin), pieces.Bytes(part.size()));
  }
}

bool LocalCommunicator::ReducePiece(std::byte* data, const Pieces& pieces, int64_t piece) {
  const uint64_t turn = turn_ + static_cast<uint64_t>(piece);
  const Part part = pieces.Of(who_.rank, piece);
  const size_t slot = pieces.SlotOffset(who_.rank);
  std::byte* const mine = data + pieces.Bytes(part.begin);
  std::vector<const void*> sources;
  sources.reserve(static_cast<size_t>(who_.size));
  for (int r = 0; r < who_.size; ++r) {
    sources.push_back(r == who_.rank ? mine : Stage(r, turn) + slot);
  }
  void* const outputs[] = {mine, Stage(who_.rank, turn) + slot};
  const bool for_all = pieces.note().kind == Kind::kAllreduce;
  return Reduced(pieces.note(), sources, {outputs, for_all ? size_t{2} : size_t{1}}, part.size());
}

void LocalCommunicator::CopyOut(std::byte* data, const Pieces& pieces, int64_t piece) {
  const uint64_t turn = turn_ + static_cast<uint64_t>(piece);
  for (int r = 0; r < who_.size; ++r) {
    if (r == who_.rank) continue;
    const Part part = pieces.Of(r, piece);
    Copy(data + pieces.Bytes(part.begin), Stage(r, turn) + pieces.SlotOffset(r),
         pieces.Bytes(part.size()));
  }
}

void LocalCommunicator::Allgather(const void* mine, size_t bytes, void* all) {
  const Note note{.kind = Kind::kAllgather, .count = static_cast<int64_t>(bytes)};
  const std::byte* const from = static_cast<const std::byte*>(mine);
  std::byte* const to = static_cast<std::byte*>(all);
  for (size_t begin = 0; begin == 0 || begin < bytes; begin += kStageBytes, ++turn_) {
    const size_t size = std::min<size_t>(bytes - begin, kStageBytes);
    Copy(Stage(who_.rank, turn_), from + begin, size);
    if (begin == 0) {
      Open(note);
    } else {
      meeting_.Meet(NameOf(note.kind));
    }
    for (int r = 0; r < who_.size; ++r) {
      Copy(to + static_cast<size_t>(r) * bytes + begin, Stage(r, turn_), size);
    }
  }
}

void LocalCommunicator::Broadcast(void* data, size_t bytes, int root) {
  const Note note{.kind = Kind::kBroadcast, .root = root, .count = static_cast<int64_t>(bytes)};
  std::byte* const mine = static_cast<std::byte*>(data);
  for (size_t begin = 0; begin == 0 || begin < bytes; begin += kStageBytes, ++turn_) {
    const size_t size = std::min<size_t>(bytes - begin, kStageBytes);
    std::byte* const stage = Stage(root, turn_);
    if (who_.rank == root) Copy(stage, mine + begin, size);
    if (begin == 0) {
      Open(note);
    } else {
      meeting_.Meet(NameOf(note.kind));
    }
    if (who_.rank != root) Copy(mine + begin, stage, size);
  }
}

void LocalCommunicator::Barrier() { Open({.kind = Kind::kBarrier}); }

std::unique_ptr<Communicator> LocalCommunicator::Split(int color, int key) {
  struct Wish {
    int32_t color, key;
  };
  const Wish wish{color, key};
  std::vector<Wish> wishes(static_cast<size_t>(who_.size));
  Allgather(&wish, sizeof wish, wishes.data());
  std::vector<int> members;
  for (int r = 0; r < who_.size; ++r) {
    if (wishes[static_cast<size_t>(r)].color == color) members.push_back(r);
  }
  std::stable_sort(members.begin(), members.end(), [&](int a, int b) {
    return wishes[static_cast<size_t>(a)].key < wishes[static_cast<size_t>(b)].key;
  });
  const auto place = std::find(members.begin(), members.end(), who_.rank);
  return MakePart(color, members,
                  {.rank = static_cast<int>(place - members.begin()),
                   .size = static_cast<int>(members.size()),
                   .world_rank = who_.world_rank,
                   .neighbours = who_.neighbours});
}

}  // namespace lockstep
