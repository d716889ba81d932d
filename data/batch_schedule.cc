#include "data/batch_schedule.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "data/epoch_order.h"
#include "engine/text.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

std::vector<int64_t> Identity(int64_t size) {
  std::vector<int64_t> order(static_cast<size_t>(size));
  std::iota(order.begin(), order.end(), int64_t{0});
  return order;
}

// Ids of the rank's own samples, in the order of the epoch.
std::vector<int64_t> OrderOf(const ScheduleOptions& o, int64_t epoch) {
  const bool shards = o.shards.any();
  const int64_t size = shards ? o.shards.rows[static_cast<size_t>(o.rank)] : o.size;
  std::vector<int64_t> order =
      o.shuffle ? EpochOrder(o.seed, epoch, size, shards ? o.rank : 0) : Identity(size);
  const int64_t first = shards ? o.shards.first(o.rank) : 0;
  for (int64_t& id : order) id += first;
  return order;
}

}  // namespace

int64_t BatchSchedule::epoch_samples() const {
  return options_.drop_last ? options_.size / options_.batch_size * options_.batch_size
                            : options_.size;
}

int64_t BatchSchedule::largest_part() const {
  if (options_.shards.any()) {
    return (options_.shards.rows[static_cast<size_t>(options_.rank)] + batches_ - 1) / batches_;
  }
  return std::max(MyRows(std::min(options_.batch_size, options_.size)).size(), tail_part());
}

int64_t BatchSchedule::tail_part() const {
  if (options_.shards.any()) {
    return options_.shards.rows[static_cast<size_t>(options_.rank)] / batches_;
  }
  return MyRows(epoch_samples() % options_.batch_size).size();
}

Range BatchSchedule::MyRows(int64_t rows) const {
  return RowsOfRank(options_.cut, rows, options_.rank, options_.ranks);
}

void BatchSchedule::MakeOrder() {
  if (order_ && (!options_.shuffle || order_epoch_ == position_.epoch)) return;
  order_ = std::make_shared<const std::vector<int64_t>>(OrderOf(options_, position_.epoch));
  order_epoch_ = position_.epoch;
}

ScheduledBatch BatchSchedule::Next() {
  MakeOrder();
  if (options_.shards.any()) return NextOfShards();
  const int64_t rows = std::min(options_.batch_size, epoch_samples() - position_.offset);
  const Range mine = MyRows(rows);
  ScheduledBatch batch;
  batch.order = order_;
  batch.ids = std::span(*order_).subspan(static_cast<size_t>(position_.offset + mine.begin),
                                         static_cast<size_t>(mine.size()));
  batch.of_rows = rows;
  batch.epoch = position_.epoch;
  position_.offset += rows;
  batch.last_of_epoch = position_.offset == epoch_samples();
  if (batch.last_of_epoch) position_ = {position_.epoch + 1, 0};
  batch.behind = position_;
  return batch;
}

ScheduledBatch BatchSchedule::NextOfShards() {
  const Shards& shards = options_.shards;
  const int64_t number = BatchAt(position_.offset);
  const int64_t begin = shards.Used(options_.rank, number, batches_);
  const int64_t end = shards.Used(options_.rank, number + 1, batches_);
  const int64_t behind = shards.AllUsed(number + 1, batches_);
  ScheduledBatch batch;
  batch.order = order_;
  batch.ids =
      std::span(*order_).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
  batch.of_rows = behind - position_.offset;
  batch.epoch = position_.epoch;
  batch.last_of_epoch = number + 1 == batches_;
  position_.offset = behind;
  if (batch.last_of_epoch) position_ = {position_.epoch + 1, 0};
  batch.behind = position_;
  return batch;
}

int64_t BatchSchedule::BatchAt(int64_t offset) const {
  int64_t low = 0, high = batches_;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (options_.shards.AllUsed(middle, batches_) < offset) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

void BatchSchedule::Seek(SourcePosition position) {
  const bool inside =
      position.epoch >= 0 && position.offset >= 0 && position.offset <= options_.size;
  const bool between =
      !inside || !options_.shards.any() ||
      options_.shards.AllUsed(BatchAt(position.offset), batches_) == position.offset;
  if (!between) {
    throw ConfigError("position " + std::to_string(position.offset) +
                      " lies within a batch of these parts of the data; they are not those that it "
                      "is of");
  }
  if (!inside) {
    throw ConfigError("position " + std::to_string(position.offset) + " of epoch " +
                      std::to_string(position.epoch) + " lies outside a data set of " +
                      Counted(options_.size, "row"));
  }
  position_ = position;
  if (position.offset >= epoch_samples()) position_ = {position.epoch + 1, 0};
}

}  // namespace lockstep
