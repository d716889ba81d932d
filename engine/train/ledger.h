// Proof that every sample was used once.
#ifndef LOCKSTEP_ENGINE_TRAIN_LEDGER_H_
#define LOCKSTEP_ENGINE_TRAIN_LEDGER_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "engine/train/batch_source.h"
#include "engine/train/checkpoint_contents.h"

namespace lockstep {

// A hash of a collection of sample ids, each as often as it is in it, that does not depend on their
// order or on who held which: the 128-bit sum of 64-bit mixes of the ids. Travels as its bytes.
struct Ledger {
  uint64_t high = 0, low = 0;
  int64_t count = 0;

  void Add(std::span<const int64_t> ids);
  Ledger& operator+=(const Ledger& other);
  friend bool operator==(const Ledger&, const Ledger&) = default;

  // Of 0, 1, ..., size - 1.
  static Ledger OfAll(int64_t size);

  // The sum as 32 hexadecimal digits.
  std::string ToString() const;
  // The inverse; FormatError (65) for anything else.
  static Ledger Parse(const std::string& text, int64_t count);
};

// What a whole job has used of the epoch it is in, the same on every rank.
class EpochLedger {
 public:
  // Before a batch is taken there. What somebody else took of the epoch is not known: an epoch that
  // does not go on from its start, or from the last Add, is not checked.
  void GoOnFrom(SourcePosition position);
  // What all ranks used in a step, and where it left the source.
  void Add(const Ledger& step, SourcePosition behind);
  // Behind the last step of epoch `epoch` (from 1). Throws AgreedError (70) with counts found and
  // wanted unless each sample that the source hands out in an epoch was used once.
  void EndEpoch(const BatchSource& source, int64_t epoch);

  // Of the last epoch that ended; nothing where it was not checked.
  const std::optional<Ledger>& last() const { return last_; }

  // "data/ledger", "data/ledger_count". Checkpoints from before there were any have none.
  void Save(CheckpointContents* contents) const;
  // One that goes on from `position`. FormatError (65) for values that cannot be.
  static EpochLedger Restored(const CheckpointContents& contents, SourcePosition position);

 private:
  Ledger used_;
  SourcePosition position_;
  bool whole_ = true;  // `used_` is all that was used of the epoch
  std::optional<Ledger> last_;
  std::optional<Ledger> all_;  // of the source's samples
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_LEDGER_H_
