// Which samples make up which batch.
#ifndef LOCKSTEP_DATA_BATCH_SCHEDULE_H_
#define LOCKSTEP_DATA_BATCH_SCHEDULE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "data/shards.h"
#include "engine/train/batch_cut.h"
#include "engine/train/batch_source.h"

namespace lockstep {

struct ScheduleOptions {
  int64_t size = 0;        // samples of the data set, on all ranks
  int64_t batch_size = 0;  // of all ranks together
  uint64_t seed = 0;
  bool shuffle = true;
  bool drop_last = false;
  int rank = 0;
  int ranks = 1;
  BatchCut cut = {};
  Shards shards = {};
};

// One rank's part of a batch.
struct ScheduledBatch {
  std::shared_ptr<const std::vector<int64_t>> order;  // keeps `ids` alive
  std::span<const int64_t> ids;
  int64_t of_rows = 0;  // ids of all ranks' parts
  int64_t epoch = 0;
  bool last_of_epoch = false;
  SourcePosition behind;  // where the next batch begins
};

// Walks over the batches of all epochs. Not for two threads at once.
class BatchSchedule {
 public:
  explicit BatchSchedule(const ScheduleOptions& options)
      : options_(options), batches_(options.shards.Batches(options.batch_size)) {}

  ScheduledBatch Next();
  SourcePosition position() const { return position_; }
  // ConfigError for a position outside the data set.
  void Seek(SourcePosition position);
  // Samples an epoch hands out: all, or all whole batches.
  int64_t epoch_samples() const;
  // The most ids of one batch of this rank, and those in the smaller batch at the end of an epoch:
  // with whole lanes, or more than four ranks, that may be more than in a full one. Of shards, the
  // two numbers that batches have.
  int64_t largest_part() const;
  int64_t tail_part() const;

 private:
  Range MyRows(int64_t rows) const;
  void MakeOrder();
  ScheduledBatch NextOfShards();
  // Number of the batch of an epoch that begins behind so many samples.
  int64_t BatchAt(int64_t offset) const;

  ScheduleOptions options_;
  int64_t batches_;  // in an epoch, of shards
  SourcePosition position_;
  std::shared_ptr<const std::vector<int64_t>> order_;
  int64_t order_epoch_ = -1;
};

}  // namespace lockstep

#endif  // LOCKSTEP_DATA_BATCH_SCHEDULE_H_
