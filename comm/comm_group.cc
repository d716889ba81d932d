#include "comm/comm_group.h"

#include <utility>

#include "engine/train/seconds.h"

namespace lockstep {

void CommGroup::Run(std::string_view name, CommQueue::Job job) {
  CommQueue::Handle submitted = Submit(name, std::move(job));
  Wait(&submitted);
}

void CommGroup::Wait(CommQueue::Handle* job) {
  constexpr size_t kMostSpans = 4096;
  const double start = Seconds();
  job->Wait();
  const double end = Seconds();
  blocked_ += end - start;
  if (spans_.size() < kMostSpans) spans_.push_back({start, end});
}

CommQueue::Handle CommGroup::Submit(std::string_view name, CommQueue::Job job) {
  return queue_.Submit(name, [this, job = std::move(job)](Communicator&) { job(*current_); });
}

void CommGroup::Extend(std::string_view name, const Extension& make) {
  Run(name, [&](Communicator& ranks) {
    extended_ = make(ranks);
    current_ = extended_.get();
  });
}

void CommGroup::Gather(const void* mine, size_t bytes, void* all) {
  Run("gather", [=](Communicator& ranks) { ranks.Allgather(mine, bytes, all); });
}

void CommGroup::Broadcast(void* data, size_t bytes, int root) {
  Run("broadcast", [=](Communicator& ranks) { ranks.Broadcast(data, bytes, root); });
}

void CommGroup::Sum(int64_t* values, int64_t count) {
  Run("sum", [=](Communicator& ranks) {
    ranks.Allreduce(values, count, WireType::kInt64, ReduceOp::kSum);
  });
}

void CommGroup::StartSum(std::shared_ptr<int64_t> values, int64_t count) {
  last_sum_ = Submit("gradients of lanes", [values = std::move(values), count,
                                            times = times_](Communicator& ranks) {
    const double start = Seconds();
    ranks.Allreduce(values.get(), count, WireType::kInt64, ReduceOp::kSum);
    times->Add(
        {.begin = start, .end = Seconds(), .bytes = count * static_cast<int64_t>(sizeof(int64_t))});
  });
}

void CommGroup::FinishSums() { Wait(&last_sum_); }

std::shared_ptr<std::byte> CommGroup::Allocate(size_t bytes) {
  std::shared_ptr<std::byte> memory;
  Run("allocate", [&](Communicator& ranks) { memory = ranks.Allocate(bytes); });
  return memory;
}

std::vector<std::shared_ptr<const void>> CommGroup::Share(const std::shared_ptr<const void>& mine,
                                                          size_t bytes) {
  std::vector<std::shared_ptr<const void>> all;
  Run("share", [&](Communicator& ranks) { all = ranks.Share(mine, bytes); });
  return all;
}

void CommGroup::Barrier(std::string_view name) {
  Run(name, [](Communicator& ranks) { ranks.Barrier(); });
}

}  // namespace lockstep
