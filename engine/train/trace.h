// What ranks did when, for chrome://tracing and ui.perfetto.dev.
#ifndef LOCKSTEP_ENGINE_TRAIN_TRACE_H_
#define LOCKSTEP_ENGINE_TRAIN_TRACE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "engine/train/rank_group.h"

namespace lockstep {

// Something that one thread of a rank did; seconds on the clock of rank 0. Travels as its bytes.
struct TraceEvent {
  enum class Thread : int32_t { kTraining, kCommunication };

  double begin = 0.0, end = 0.0;
  int64_t step = 0;
  int64_t bytes = -1;      // that were exchanged; -1: not a matter of bytes
  int32_t waits_for = -1;  // rank; -1: nobody
  int32_t name = 0;        // TraceLog::Name
  Thread thread = Thread::kTraining;
};

struct TraceOptions {
  size_t events = size_t{1} << 16;  // of a rank that are kept: the newest
  // Only steps first to last, counted from 1, are written down.
  int64_t first_step = 1, last_step = std::numeric_limits<int64_t>::max();
};

// The events of one rank. Events of a thread come in the order of their ends, do not overlap but
// where one holds the other, and what comes later does not begin before what ended earlier: where a
// better estimate of the clocks would say so it is cut.
class TraceLog {
 public:
  explicit TraceLog(TraceOptions options = {}) : options_(options) {}

  bool Wants(int64_t step) const {
    return step >= options_.first_step && step <= options_.last_step;
  }
  // The number of a name.
  int32_t Name(const std::string& name);
  void Add(TraceEvent event);
  // Where an event that begins there would really begin.
  double Begin(TraceEvent::Thread thread, double begin) const {
    return std::max(begin, ended_[static_cast<size_t>(thread)]);
  }
  // An event that holds all of its thread since `event.begin`, which was a Begin() then.
  void AddAround(TraceEvent event);

  const std::vector<std::string>& names() const { return names_; }
  // Oldest first.
  std::vector<TraceEvent> Events() const;
  int64_t dropped() const { return dropped_; }

 private:
  void Push(const TraceEvent& event);

  TraceOptions options_;
  std::vector<std::string> names_;
  std::vector<TraceEvent> events_;  // a ring, once it is full
  size_t oldest_ = 0;
  int64_t dropped_ = 0;
  double ended_[2] = {-std::numeric_limits<double>::infinity(),
                      -std::numeric_limits<double>::infinity()};  // by thread
};

// Merges the traces of all ranks into one JSON file (the "Trace Event Format" of Chrome, events of
// phase X in microseconds), which rank 0 publishes: a process is a rank, "rank 1 @ host", with
// threads for training and communication. `clock_errors`: by how much each rank's times may be
// wrong, seconds. Every rank calls it. Rank 0 throws IoError where the file cannot be written.
void WriteTrace(RankGroup& group, const TraceLog& log, const std::string& host,
                const std::vector<double>& clock_errors, const std::string& path);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_TRACE_H_
