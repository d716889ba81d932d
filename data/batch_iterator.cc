#include "data/batch_iterator.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "data/batch_pipeline.h"
#include "data/batch_schedule.h"
#include "engine/text.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

// Below this a batch is assembled in less time than threads take to hand it over.
constexpr size_t kSmallBatchBytes = 16 << 10;

void Check(bool good, const std::string& message) {
  if (!good) throw ConfigError(message);
}

void CheckOptions(const SourceOptions& options) {
  Check(options.batch_size > 0,
        "batch size " + std::to_string(options.batch_size) + "; wanted at least 1");
  Check(options.ranks > 0 && options.rank >= 0 && options.rank < options.ranks,
        "rank " + std::to_string(options.rank) + " of " + std::to_string(options.ranks) +
            " does not exist");
  Check(!options.shards.any() ||
            (std::ssize(options.shards.rows) == options.ranks && !options.drop_last),
        "wanted a part of the data for each of " + std::to_string(options.ranks) +
            " ranks, and no batch left out");
  // Else there would be batches of nothing.
  Check(!options.shards.any() || options.batch_size >= options.ranks,
        "batch size " + std::to_string(options.batch_size) + " for parts of " +
            std::to_string(options.ranks) + " ranks; wanted at least one sample of each");
  Check(options.threads >= 0 && options.prefetch >= 1,
        "wanted 0 or more prefetch threads and 1 or more batches ahead");
}

ScheduleOptions ScheduleOf(const SourceOptions& options, int64_t size) {
  return {.size = options.shards.any() ? options.shards.total() : size,
          .batch_size = options.batch_size,
          .seed = options.seed,
          .shuffle = options.shuffle,
          .drop_last = options.drop_last,
          .rank = options.rank,
          .ranks = options.ranks,
          .cut = options.cut,
          .shards = options.shards};
}

// Targets have the samples' dtype; classes are what they are.
Tensor LabelsOf(const Dataset& dataset, DType dtype) {
  const Tensor& labels = dataset.labels();
  const bool as_stored = dataset.has_classes() || !IsFloating(dtype) || dtype == labels.dtype();
  return as_stored ? labels : labels.Cast(dtype);
}

size_t BytesOf(const TensorType& type) {
  return static_cast<size_t>(type.shape.size()) * SizeOf(type.dtype);
}

// Null: rows are handed out as they are fed.
std::shared_ptr<const PicturePreparation> PreparationOf(const TensorType& stored,
                                                        const RowTransform& transform,
                                                        const SourceOptions& options) {
  if (!options.as_stored || BytesOf(stored) > BytesOf(transform.output())) return nullptr;
  return transform.preparation();
}

}  // namespace

class DatasetSource::Impl {
 public:
  Impl(Dataset dataset, SourceOptions options)
      : dataset_(std::move(dataset)),
        options_(std::move(options)),
        labels_(LabelsOf(dataset_, options_.transform.dtype)),
        transform_(dataset_.sample_type(), options_.transform, options_.seed),
        preparation_(PreparationOf(dataset_.sample_type(), transform_, options_)),
        schedule_(ScheduleOf(options_, dataset_.size())),
        label_bytes_(BytesOf(label_type())),
        stored_bytes_(BytesOf(dataset_.sample_type())),
        sample_bytes_(preparation_ ? stored_bytes_ : BytesOf(transform_.output())) {
    if (options_.shards.any()) {
      first_ = options_.shards.first(options_.rank);
      Check(dataset_.size() == options_.shards.rows[static_cast<size_t>(options_.rank)],
            "the part of this rank is not as large as it is said to be");
    }
    if (schedule_.epoch_samples() == 0) {
      throw FormatError(dataset_.Describe(0) + ": " + Counted(dataset_.size(), "row") +
                        (dataset_.size() == 1 ? " is" : " are") + " fewer than a batch of " +
                        std::to_string(options_.batch_size) +
                        ", and incomplete batches are left "
                        "out; use a smaller batch");
    }
    const auto rows = static_cast<size_t>(schedule_.largest_part());
    const bool background = options_.threads > 0 && rows * sample_bytes_ > kSmallBatchBytes;
    pipeline_ = std::make_unique<BatchPipeline>(
        background ? options_.threads : 0, background ? options_.prefetch + 1 : 1,
        rows * sample_bytes_, rows * label_bytes_, [this] { return ScheduleNext(); },
        [this](const ScheduledBatch& batch, uint8_t* x, uint8_t* labels) {
          Assemble(batch, x, labels);
        });
  }

  const Batch& Next() {
    const BatchPipeline::Slot& slot = pipeline_->Next();
    const ScheduledBatch& scheduled = slot.scheduled;
    batch_ = {.x = slot.x.data(),
              .preparation = preparation_,
              .labels = slot.labels.data(),
              .ids = scheduled.ids,
              .rows = static_cast<int64_t>(scheduled.ids.size()),
              .of_rows = scheduled.of_rows,
              .epoch = scheduled.epoch,
              .last_of_epoch = scheduled.last_of_epoch};
    position_ = scheduled.behind;
    return batch_;
  }

  void Seek(SourcePosition position) {
    BatchSchedule checked(ScheduleOf(options_, dataset_.size()));
    checked.Seek(position);
    pipeline_->Stop();
    schedule_.Seek(position);
    position_ = schedule_.position();
    ended_ = false;
  }

  int64_t size() const { return options_.shards.any() ? options_.shards.total() : dataset_.size(); }
  std::string Describe(int64_t id) const {
    if (id >= first_ && id < first_ + dataset_.size()) return dataset_.Describe(id - first_);
    return "row " + std::to_string(id) + " of all ranks";
  }
  const Dataset& dataset() const { return dataset_; }
  const SourceOptions& options() const { return options_; }
  uint64_t fingerprint() const {
    if (options_.shards.any()) return options_.shards.fingerprint;
    if (!fingerprint_) fingerprint_ = dataset_.fingerprint();
    return *fingerprint_;
  }
  TensorType output() const { return transform_.output(); }
  TensorType label_type() const { return {dataset_.label_type().shape, labels_.dtype()}; }
  const BatchSchedule& schedule() const { return schedule_; }
  SourcePosition position() const { return position_; }

 private:
  // The pipeline calls this for one batch at a time.
  std::optional<ScheduledBatch> ScheduleNext() {
    if (ended_) return std::nullopt;
    ScheduledBatch batch = schedule_.Next();
    ended_ = batch.last_of_epoch && !options_.repeat;
    return batch;
  }

  void Assemble(const ScheduledBatch& batch, uint8_t* x, uint8_t* labels) const {
    const auto* stored = static_cast<const uint8_t*>(dataset_.features().data());
    const auto* stored_labels = static_cast<const uint8_t*>(labels_.data());
    for (const int64_t id : batch.ids) {
      const auto row = static_cast<size_t>(id - first_);
      const uint8_t* from = stored + row * stored_bytes_;
      if (preparation_ || transform_.is_copy()) {
        std::memcpy(x, from, stored_bytes_);
      } else {
        transform_.Apply(from, id, batch.epoch, x);
      }
      std::memcpy(labels, stored_labels + row * label_bytes_, label_bytes_);
      x += sample_bytes_;
      labels += label_bytes_;
    }
  }

  Dataset dataset_;
  SourceOptions options_;
  Tensor labels_;
  RowTransform transform_;
  std::shared_ptr<const PicturePreparation> preparation_;  // null: x is what is fed
  BatchSchedule schedule_;
  size_t label_bytes_, stored_bytes_, sample_bytes_;  // of a row; samples as handed out
  int64_t first_ = 0;                                 // id of the first row
  bool ended_ = false;
  mutable std::optional<uint64_t> fingerprint_;
  SourcePosition position_;
  Batch batch_;
  std::unique_ptr<BatchPipeline> pipeline_;  // last: its threads use all of the above
};

DatasetSource::DatasetSource(Dataset dataset, SourceOptions options) {
  CheckOptions(options);
  impl_ = std::make_unique<Impl>(std::move(dataset), std::move(options));
}

DatasetSource::~DatasetSource() = default;

TensorType DatasetSource::sample_type() const { return impl_->output(); }
TensorType DatasetSource::label_type() const { return impl_->label_type(); }
int64_t DatasetSource::size() const { return impl_->size(); }
int64_t DatasetSource::epoch_samples() const { return impl_->schedule().epoch_samples(); }
int64_t DatasetSource::batch_size() const { return impl_->options().batch_size; }
uint64_t DatasetSource::fingerprint() const { return impl_->fingerprint(); }
int64_t DatasetSource::max_rows() const { return impl_->schedule().largest_part(); }
int64_t DatasetSource::tail_rows() const { return impl_->schedule().tail_part(); }
const Batch& DatasetSource::Next() { return impl_->Next(); }
SourcePosition DatasetSource::position() const { return impl_->position(); }
void DatasetSource::Seek(SourcePosition position) { impl_->Seek(position); }
std::string DatasetSource::Describe(int64_t id) const { return impl_->Describe(id); }
const Dataset& DatasetSource::dataset() const { return impl_->dataset(); }

int64_t DatasetSource::batches_per_epoch() const {
  const int64_t batch = impl_->options().batch_size;
  return (epoch_samples() + batch - 1) / batch;
}

}  // namespace lockstep
