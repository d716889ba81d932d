#include "data/batch_schedule.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "data/epoch_order.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

std::vector<int64_t> Identity(int64_t size) {
  std::vector<int64_t> order(static_cast<size_t>(size));
  std::iota(order.begin(), order.end(), int64_t{0});
  return order;
}

}  // namespace

int64_t BatchSchedule::epoch_samples() const {
  return options_.drop_last ? options_.size / options_.batch_size * options_.batch_size
                            : options_.size;
}

int64_t BatchSchedule::largest_part() const {
  return std::max(MyRows(std::min(options_.batch_size, options_.size)).size(), tail_part());
}

int64_t BatchSchedule::tail_part() const {
  return MyRows(epoch_samples() % options_.batch_size).size();
}

Range BatchSchedule::MyRows(int64_t rows) const {
  return RowsOfRank(options_.cut, rows, options_.rank, options_.ranks);
}

ScheduledBatch BatchSchedule::Next() {
  if (!order_ || (options_.shuffle && order_epoch_ != position_.epoch)) {
    order_ = std::make_shared<const std::vector<int64_t>>(
        options_.shuffle ? EpochOrder(options_.seed, position_.epoch, options_.size)
                         : Identity(options_.size));
    order_epoch_ = position_.epoch;
  }
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

void BatchSchedule::Seek(SourcePosition position) {
  if (position.epoch < 0 || position.offset < 0 || position.offset > options_.size) {
    throw ConfigError("position " + std::to_string(position.offset) + " of epoch " +
                      std::to_string(position.epoch) + " lies outside a data set of " +
                      std::to_string(options_.size) + " rows");
  }
  position_ = position;
  if (position.offset >= epoch_samples()) position_ = {position.epoch + 1, 0};
}

}  // namespace lockstep
