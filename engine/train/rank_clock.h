// The clocks of other ranks, as far as messages between them tell.
#ifndef LOCKSTEP_ENGINE_TRAIN_RANK_CLOCK_H_
#define LOCKSTEP_ENGINE_TRAIN_RANK_CLOCK_H_

#include <cstddef>
#include <deque>
#include <vector>

namespace lockstep {

// When a rank entered and left a collective, in seconds of its own monotonic clock.
struct Passage {
  double enter = 0.0, exit = 0.0;
};

// How far another rank's clock is ahead of this one's, and by how much that may be wrong.
struct ClockOffset {
  double seconds = 0.0;
  double error = 0.0;
};

// Nobody leaves a collective before everybody has entered it. So of two ranks r and s that passed
// the same collectives, theta = clock of s - clock of r lies between the largest enter_s - exit_r
// and the smallest exit_s - enter_r. The middle is taken, half of the width is its error. Clocks
// drift (by some 20 us a second), so only the last kWindow collectives count.
class RankClock {
 public:
  static constexpr size_t kWindow = 64;

  explicit RankClock(int ranks) : passages_(static_cast<size_t>(ranks)) {}

  // How every rank passed one collective, in the order of ranks.
  void Add(const std::vector<Passage>& of_ranks);
  // Of `rank` against the clock of `reference`; infinite error before the first Add.
  ClockOffset Offset(int rank, int reference) const;

 private:
  std::vector<std::deque<Passage>> passages_;  // by rank; newest last
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_RANK_CLOCK_H_
