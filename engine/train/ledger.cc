#include "engine/train/ledger.h"

#include <charconv>

#include "engine/text.h"
#include "engine/train/rank_group.h"
#include "engine/train/state.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

constexpr size_t kDigits = 16;
constexpr const char* kSums = "data/ledger";
constexpr const char* kCount = "data/ledger_count";

// A bijection, so that one id never stands for another (the finalizer of SplitMix64,
// https://prng.di.unimi.it/splitmix64.c).
uint64_t Mix(uint64_t value) {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

void AddSum(uint64_t high, uint64_t low, Ledger* ledger) {
  ledger->low += low;
  ledger->high += high + (ledger->low < low ? 1 : 0);
}

uint64_t ParseHexadecimal(const std::string& whole, size_t begin) {
  uint64_t value = 0;
  const char* const from = whole.data() + begin;
  const auto [end, error] = std::from_chars(from, from + kDigits, value, 16);
  if (error == std::errc() && end == from + kDigits) return value;
  throw FormatError("the ledger of samples is not 32 hexadecimal digits; the file is damaged");
}

// Where the source leaves out samples, which ones is its choice: then the count alone is checked.
void RequireEachOnce(const Ledger& used, const Ledger& all, int64_t handed_out, int64_t epoch) {
  const bool as_many = used.count == handed_out;
  if (as_many && (used == all || handed_out < all.count)) return;
  const std::string found = as_many ? "as many were used, but some more than once and others not"
                                    : std::to_string(used.count) + " were used";
  throw AgreedError(ExitCode::kBug, "epoch " + std::to_string(epoch) + " did not use each of " +
                                        std::to_string(handed_out) + " samples once: " + found +
                                        " (ledger " + used.ToString() + ", of all samples " +
                                        all.ToString() + "); a fault of the data source");
}

}  // namespace

void Ledger::Add(std::span<const int64_t> ids) {
  Ledger sum;  // which no id may alias
  for (const int64_t id : ids) AddSum(0, Mix(static_cast<uint64_t>(id)), &sum);
  sum.count = std::ssize(ids);
  *this += sum;
}

Ledger& Ledger::operator+=(const Ledger& other) {
  AddSum(other.high, other.low, this);
  count += other.count;
  return *this;
}

Ledger Ledger::OfAll(int64_t size) {
  Ledger all{.count = size};
  for (int64_t id = 0; id < size; ++id) AddSum(0, Mix(static_cast<uint64_t>(id)), &all);
  return all;
}

std::string Ledger::ToString() const { return Hexadecimal(high) + Hexadecimal(low); }

Ledger Ledger::Parse(const std::string& text, int64_t count) {
  std::string padded = text;
  if (text.size() != 2 * kDigits) padded.assign(2 * kDigits, '?');
  return {.high = ParseHexadecimal(padded, 0),
          .low = ParseHexadecimal(padded, kDigits),
          .count = count};
}

void EpochLedger::GoOnFrom(SourcePosition position) {
  if (position == position_) return;
  used_ = {};
  position_ = position;
  whole_ = position.offset == 0;
}

void EpochLedger::Add(const Ledger& step, SourcePosition behind) {
  used_ += step;
  position_ = behind;
}

void EpochLedger::EndEpoch(const BatchSource& source, int64_t epoch) {
  last_.reset();
  if (whole_) {
    if (!all_) all_ = Ledger::OfAll(source.size());
    RequireEachOnce(used_, *all_, source.epoch_samples(), epoch);
    last_ = used_;
  }
  used_ = {};
  whole_ = true;
}

void EpochLedger::Save(CheckpointContents* contents) const {
  if (!whole_) return;
  contents->values[kSums] = used_.ToString();
  contents->values[kCount] = used_.count;
}

EpochLedger EpochLedger::Restored(const CheckpointContents& contents, SourcePosition position) {
  EpochLedger ledger;
  ledger.GoOnFrom(position);
  if (!contents.values.contains(kSums)) return ledger;
  ledger.used_ = Ledger::Parse(contents.Text(kSums), IntegerIn(contents, kCount, kMostSteps));
  ledger.whole_ = true;
  return ledger;
}

}  // namespace lockstep
