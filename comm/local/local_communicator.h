// Collectives of ranks that share memory: what thread and shm have in common.
#ifndef LOCKSTEP_COMM_LOCAL_LOCAL_COMMUNICATOR_H_
#define LOCKSTEP_COMM_LOCAL_LOCAL_COMMUNICATOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/local/meeting.h"
#include "comm/reduce.h"

namespace lockstep {

// The group's memory holds its meeting, a board with a note of every rank on what it is about to
// do, and two staging buffers for each rank, which are used in turn: what is read from one is
// finished when its rank has met the others once more, which it does before it fills it again.
//
// A small Allreduce is staged whole and reduced by everyone: one meeting. A large one is reduced
// where the buffers lie, rank r making part r and writing it to all, when every rank can reach
// every buffer; else piece by piece through the staging buffers. So is a large ReduceScatter, but
// that a part is written to its own rank's buffer alone. Sums go in the order of the ranks on every
// path, so all paths give the same bits.
class LocalCommunicator : public Communicator {
 public:
  int rank() const override { return who_.rank; }
  int size() const override { return who_.size; }
  int local_rank() const override { return who_.rank; }
  int local_size() const override { return who_.size; }

  void Allreduce(void* data, int64_t count, WireType type, ReduceOp op) override;
  bool ReduceScatter(void* data, int64_t count, WireType type, ReduceOp op) override;
  void Allgather(const void* mine, size_t bytes, void* all) override;
  void Broadcast(void* data, size_t bytes, int root) override;
  void Barrier() override;
  std::unique_ptr<Communicator> Split(int color, int key) override;
  void CheckPeers(const char* what) override { meeting_.RequireEverybody(what); }
  void Abort(const std::string& why) noexcept override { meeting_.Abort(why); }

  // Bytes of zeroed memory, aligned to 128, that a group needs.
  static size_t MemoryFor(int size);

 protected:
  // Where a buffer lies, in words that mean the same to every rank; region 0: only its rank knows.
  struct Place {
    uint64_t region = 0;
    uint64_t offset = 0;
  };

  // `memory`: MemoryFor(size) bytes, held until this rank has left.
  LocalCommunicator(std::shared_ptr<std::byte> memory, Meeting::Who who, Meeting::IsDead is_dead);

  virtual Place PlaceOf(const void* data, size_t bytes) const = 0;
  // The buffer of `rank` at a place that is not in region 0, as this rank sees it.
  virtual std::byte* Reach(int rank, Place place) const = 0;
  // The part of this group that `members`, ranks in it, will form; `who` is this rank in there.
  // Called by all ranks of this group together; `color` tells its parts apart.
  virtual std::unique_ptr<Communicator> MakePart(int color, const std::vector<int>& members,
                                                 Meeting::Who who) = 0;

  const Meeting::Who& who() const { return who_; }
  Meeting& meeting() { return meeting_; }

 private:
  enum class Kind : uint8_t { kNone, kAllreduce, kReduceScatter, kAllgather, kBroadcast, kBarrier };
  // What a rank is about to do. All but `place` must be the same everywhere.
  struct Note {
    Kind kind = Kind::kNone;
    WireType type = WireType::kUint8;
    ReduceOp op = ReduceOp::kSum;
    int32_t root = 0;
    int64_t count = 0;
    Place place = {};
  };
  class Pieces;

  static const char* NameOf(Kind kind);
  static std::string Describe(const Note& note);
  Note& NoteOf(int rank) const;
  void Open(const Note& note);
  bool ReachAll(std::vector<void*>* buffers) const;
  std::byte* Stage(int rank, uint64_t turn) const;

  // Of a ReduceScatter all of these return whether what this rank reduces is finite.
  static bool Reduced(const Note& note, std::span<const void* const> sources,
                      std::span<void* const> outputs, int64_t count);
  bool ReduceSmall(std::byte* data, const Note& note, Part part);
  bool ReduceInPlace(const std::vector<void*>& buffers, const Note& note);
  void AllreduceStaged(std::byte* data, const Note& note);
  bool ReduceScatterStaged(std::byte* data, const Note& note);
  void CopyIn(const std::byte* data, const Pieces& pieces, int64_t piece);
  bool ReducePiece(std::byte* data, const Pieces& pieces, int64_t piece);
  void CopyOut(std::byte* data, const Pieces& pieces, int64_t piece);

  const std::shared_ptr<std::byte> memory_;
  const Meeting::Who who_;
  std::byte* const board_;
  std::byte* const stages_;
  Meeting meeting_;
  uint64_t opened_ = 0;  // collectives so far
  uint64_t turn_ = 0;    // staging buffers filled so far
};

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_LOCAL_LOCAL_COMMUNICATOR_H_
