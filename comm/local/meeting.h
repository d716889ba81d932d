// Where the ranks of one host wait for each other.
#ifndef LOCKSTEP_COMM_LOCAL_MEETING_H_
#define LOCKSTEP_COMM_LOCAL_MEETING_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace lockstep {

// One rank's side of a barrier that lives in memory all ranks share, threads or processes. Waiting
// spins for some microseconds where every rank of these cores can have one, then sleeps (futex).
class Meeting {
 public:
  struct Who {
    int rank = 0;
    int size = 1;
    int world_rank = 0;  // how messages name this rank
    int neighbours = 1;  // ranks that run on this one's cores, itself included
  };
  // Whether a rank, as counted in this group, cannot come any more.
  using IsDead = std::function<bool(int rank)>;

  static size_t BytesFor(int size);

  // `memory`: BytesFor(size) bytes, zero before the first rank came, aligned to 128. It stays the
  // caller's. `is_dead` is asked every 100 ms of waiting; it may be empty.
  Meeting(void* memory, Who who, IsDead is_dead);
  // Whoever waits for this rank, then or later, is told that it left.
  ~Meeting();
  Meeting(const Meeting&) = delete;
  Meeting& operator=(const Meeting&) = delete;

  // Returns when all ranks have called it as often: what they wrote before can be read. Throws
  // CommError naming `what` and the rank at fault.
  void Meet(const char* what);
  // Throws when somebody gave up.
  void Check(const char* what) const;
  // Throws when somebody gave up, has left or died, whatever meetings they came to.
  void RequireEverybody(const char* what) const;
  // Everybody who waits, now or later, throws. The first reason counts. Any thread.
  void Abort(const std::string& why) noexcept;

  bool spins() const { return spins_ > 0; }
  int world_rank(int rank) const;
  // "rank 3 (process 4711)"
  std::string Describe(int rank) const;

 private:
  struct Head;
  struct Seat;
  Seat& SeatOf(int rank) const;
  bool Complete() const;
  void Sleep(const char* what);
  void CheckPeers(const char* what, bool ask_system) const;
  void WakeAll() noexcept;
  [[noreturn]] void ThrowMissing(const char* what, int rank, bool left) const;
  [[noreturn]] void Throw(const char* what, const std::string& found) const;
  std::string Where(const char* what) const;

  Head* head_;
  const Who who_;
  const IsDead is_dead_;
  const int spins_;
  uint32_t meeting_ = 0;  // how often this rank came
};

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_LOCAL_MEETING_H_
