#include "comm/local/meeting.h"

#include <immintrin.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <cstring>

#include "comm/communicator.h"
#include "kernels/cpu/cores.h"
#include "kernels/error.h"

namespace lockstep {

// All of it is zero at first. The two halves lie on lines of their own: sleepers come and go while
// others spin on `done`.
struct Meeting::Head {
  alignas(128) std::atomic<uint32_t> done;      // the newest meeting that everybody came to
  alignas(128) std::atomic<uint32_t> arrivals;  // of all ranks at all meetings, modulo 2^32
  std::atomic<uint32_t> sleepers;
  alignas(128) std::atomic<uint32_t> abort;  // kNone, kWriting, kWritten
  std::atomic<int32_t> aborted_by;           // world rank
  char why[768];

  enum : uint32_t { kNone, kWriting, kWritten };
};

struct Meeting::Seat {
  alignas(128) std::atomic<uint32_t> meeting;  // as Meeting::meeting_
  std::atomic<uint32_t> left;
  std::atomic<int32_t> world_rank;
  std::atomic<int32_t> process;
};

namespace {

// Both may find that there is nothing to do; the caller looks at the word again.
bool FutexWait(std::atomic<uint32_t>& word, uint32_t seen) {
  const timespec timeout{0, 100'000'000};
  const long result = ::syscall(SYS_futex, &word, FUTEX_WAIT, seen, &timeout, nullptr, 0);
  return result == 0 || errno != ETIMEDOUT;
}

void FutexWakeAll(std::atomic<uint32_t>& word) {
  ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

// Spinning while the rank that is waited for has no core only delays it.
int SpinsFor(int neighbours) {
  constexpr int kSpins = 1000;  // some 20 microseconds
  return neighbours <= cpu::UsableCores() ? kSpins : 0;
}

}  // namespace

size_t Meeting::BytesFor(int size) {
  return sizeof(Head) + static_cast<size_t>(size) * sizeof(Seat);
}

Meeting::Meeting(void* memory, Who who, IsDead is_dead)
    : head_(static_cast<Head*>(memory)),
      who_(who),
      is_dead_(std::move(is_dead)),
      spins_(SpinsFor(who.neighbours)) {
  Seat& seat = SeatOf(who.rank);
  seat.world_rank.store(who.world_rank, std::memory_order_relaxed);
  seat.process.store(static_cast<int32_t>(::getpid()), std::memory_order_relaxed);
}

Meeting::~Meeting() {
  SeatOf(who_.rank).left.store(1);
  WakeAll();
}

Meeting::Seat& Meeting::SeatOf(int rank) const { return reinterpret_cast<Seat*>(head_ + 1)[rank]; }

bool Meeting::Complete() const { return head_->done.load(std::memory_order_acquire) == meeting_; }

void Meeting::Meet(const char* what) {
  Check(what);
  ++meeting_;
  const uint32_t all = static_cast<uint32_t>(who_.size) * meeting_;
  const bool last = head_->arrivals.fetch_add(1) + 1 == all;
  // In this order: a rank that is killed in between is not taken for one that came.
  SeatOf(who_.rank).meeting.store(meeting_);
  if (last) {
    head_->done.store(meeting_);
    if (head_->sleepers.load() != 0) FutexWakeAll(head_->done);
    return;
  }
  for (int i = 0; i < spins_; ++i) {
    if (Complete()) return;
    _mm_pause();
  }
  Sleep(what);
}

void Meeting::Sleep(const char* what) {
  // `done` is stored before `sleepers` is read, and `sleepers` raised before the kernel compares
  // `done`: one of both sides notices the other.
  struct Asleep {
    std::atomic<uint32_t>& count;
    explicit Asleep(std::atomic<uint32_t>& c) : count(c) { count.fetch_add(1); }
    ~Asleep() { count.fetch_sub(1); }
  } const asleep(head_->sleepers);
  bool in_time = true;
  while (head_->done.load() != meeting_) {
    CheckPeers(what, !in_time);
    in_time = FutexWait(head_->done, meeting_ - 1);
  }
}

void Meeting::Check(const char* what) const {
  if (head_->abort.load(std::memory_order_acquire) == Head::kWritten) {
    throw GaveUpError(Where(what) + "rank " + std::to_string(head_->aborted_by.load()) +
                      " gave up: " + head_->why);
  }
}

// Those who came are no concern even if they are gone by now; unless this meeting is complete
// meanwhile, which is looked at last, because a rank may leave after its last meeting.
void Meeting::CheckPeers(const char* what, bool ask_system) const {
  Check(what);
  for (int r = 0; r < who_.size; ++r) {
    const bool left = SeatOf(r).left.load() != 0;
    const bool dead = !left && ask_system && is_dead_ && is_dead_(r);
    if ((!left && !dead) || SeatOf(r).meeting.load() == meeting_ || Complete()) continue;
    ThrowMissing(what, r, left);
  }
}

void Meeting::RequireEverybody(const char* what) const {
  Check(what);
  for (int r = 0; r < who_.size; ++r) {
    const bool left = SeatOf(r).left.load() != 0;
    if (left || (is_dead_ && is_dead_(r))) ThrowMissing(what, r, left);
  }
}

void Meeting::Abort(const std::string& why) noexcept {
  uint32_t none = Head::kNone;
  if (!head_->abort.compare_exchange_strong(none, Head::kWriting)) return;
  const size_t length = std::min(why.size(), sizeof head_->why - 1);
  std::memcpy(head_->why, why.data(), length);
  head_->why[length] = '\0';
  head_->aborted_by.store(who_.world_rank);
  head_->abort.store(Head::kWritten);
  WakeAll();
}

// A waiter that is about to sleep may miss it and finds out 100 ms later.
void Meeting::WakeAll() noexcept { FutexWakeAll(head_->done); }

int Meeting::world_rank(int rank) const { return SeatOf(rank).world_rank.load(); }

std::string Meeting::Describe(int rank) const {
  return "rank " + std::to_string(world_rank(rank)) + " (process " +
         std::to_string(SeatOf(rank).process.load()) + ")";
}

void Meeting::ThrowMissing(const char* what, int rank, bool left) const {
  Throw(what,
        Describe(rank) + (left ? " has left; it did not take part"
                               : " has died; start the job again from its newest checkpoint"));
}

void Meeting::Throw(const char* what, const std::string& found) const {
  throw CommError(Where(what) + found);
}

std::string Meeting::Where(const char* what) const {
  return std::string(what) + " on rank " + std::to_string(who_.world_rank) + ": ";
}

}  // namespace lockstep
