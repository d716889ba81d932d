#include "data/batch_pipeline.h"

#include <utility>

#include "kernels/error.h"

namespace lockstep {
namespace {

[[noreturn]] void ThrowEnd() {
  throw ConfigError("the data set has been read to its end and is not to be repeated",
                    ExitCode::kBug);
}

}  // namespace

BatchPipeline::BatchPipeline(int threads, int slots, size_t x_bytes, size_t label_bytes,
                             Schedule schedule, Fill fill)
    : thread_count_(threads),
      schedule_(std::move(schedule)),
      fill_(std::move(fill)),
      slots_(static_cast<size_t>(slots)),
      alone_(threads == 0) {
  threads_.reserve(static_cast<size_t>(threads));
  for (Slot& slot : slots_) {
    slot.x = Bytes(x_bytes);
    slot.labels = Bytes(label_bytes);
  }
}

BatchPipeline::~BatchPipeline() { Stop(); }

void BatchPipeline::Start() {
  stopping_ = false;
  ended_ = false;
  schedule_error_ = nullptr;
  claimed_ = taken_ = freed_ = 0;
  try {
    for (int i = 0; i < thread_count_; ++i) threads_.emplace_back([this] { Work(); });
  } catch (...) {
    // No more threads to be had: those that run do the work.
  }
  alone_ = threads_.empty();
}

void BatchPipeline::Stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  may_fill_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  for (Slot& slot : slots_) slot.ready = false;
}

// Waits for a free slot and schedules the next batch into it; false when there is nothing to do.
bool BatchPipeline::Claim(Slot** slot) {
  std::unique_lock<std::mutex> lock(mutex_);
  may_fill_.wait(lock, [&] { return stopping_ || ended_ || claimed_ - freed_ < slots_.size(); });
  if (stopping_ || ended_) return false;
  try {
    std::optional<ScheduledBatch> batch = schedule_();
    ended_ = !batch;
    if (batch) {
      *slot = &slots_[claimed_++ % slots_.size()];
      (*slot)->scheduled = std::move(*batch);
      return true;
    }
  } catch (...) {
    schedule_error_ = std::current_exception();
    ended_ = true;
  }
  lock.unlock();
  may_take_.notify_one();
  may_fill_.notify_all();
  return false;
}

void BatchPipeline::Work() {
  Slot* slot = nullptr;
  while (Claim(&slot)) {
    slot->error = nullptr;
    try {
      fill_(slot->scheduled, slot->x.data(), slot->labels.data());
    } catch (...) {
      slot->error = std::current_exception();
    }
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      slot->ready = true;
    }
    may_take_.notify_one();
  }
}

const BatchPipeline::Slot& BatchPipeline::NextAlone() {
  std::optional<ScheduledBatch> batch = schedule_();
  if (!batch) ThrowEnd();
  Slot& slot = slots_[0];
  slot.scheduled = std::move(*batch);
  fill_(slot.scheduled, slot.x.data(), slot.labels.data());
  return slot;
}

const BatchPipeline::Slot& BatchPipeline::Next() {
  if (!alone_ && threads_.empty()) Start();
  if (alone_) return NextAlone();
  std::unique_lock<std::mutex> lock(mutex_);
  if (taken_ > freed_) {
    slots_[freed_++ % slots_.size()].ready = false;
    may_fill_.notify_one();
  }
  Slot& slot = slots_[taken_ % slots_.size()];
  may_take_.wait(lock, [&] { return slot.ready || (ended_ && claimed_ == taken_); });
  if (!slot.ready) {
    if (schedule_error_) std::rethrow_exception(schedule_error_);
    ThrowEnd();
  }
  ++taken_;
  if (slot.error) std::rethrow_exception(slot.error);
  return slot;
}

}  // namespace lockstep
