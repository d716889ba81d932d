// The ranks of a communicator, as training sees them.
#ifndef LOCKSTEP_COMM_COMM_GROUP_H_
#define LOCKSTEP_COMM_COMM_GROUP_H_

#include <functional>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "comm/comm_queue.h"
#include "comm/sum_times.h"
#include "engine/train/rank_group.h"

namespace lockstep {

// Everything goes through one queue: what training asks for waits behind sums of gradients that
// are under way, in the same order on every rank.
class CommGroup : public RankGroup {
 public:
  using Extension = std::function<std::unique_ptr<Communicator>(Communicator& communicator)>;

  // The communicator must outlive it and is used by nobody else meanwhile, but for Abort.
  explicit CommGroup(Communicator& communicator)
      : communicator_(communicator), queue_(communicator) {}

  int rank() const override { return communicator_.rank(); }
  int size() const override { return communicator_.size(); }
  void Gather(const void* mine, size_t bytes, void* all) override;
  void Broadcast(void* data, size_t bytes, int root) override;
  void Sum(int64_t* values, int64_t count) override;
  void StartSum(std::shared_ptr<int64_t> values, int64_t count) override;
  void FinishSums() override;
  // Of what StartSum() has begun.
  std::vector<SumTime> TakeTimes() { return times_->Take(); }
  bool Reaches(const Backend& device) const override { return current_->Reaches(device); }
  std::shared_ptr<std::byte> Allocate(size_t bytes) override;
  // As those of Communicator.
  std::vector<std::shared_ptr<const void>> Share(const std::shared_ptr<const void>& mine,
                                                 size_t bytes);
  void Barrier(std::string_view name);
  double seconds_blocked() const override { return blocked_; }
  std::vector<TimeSpan> TakeBlocked() override { return std::exchange(spans_, {}); }

  // From now on everything goes through what `make` makes of the communicator, of the same ranks.
  // Every rank calls it once, before anybody asks what is reached.
  void Extend(std::string_view name, const Extension& make);
  // What everything goes through.
  const Communicator& communicator() const { return *current_; }

  // A job beside computation; see CommQueue::Submit.
  CommQueue::Handle Submit(std::string_view name, CommQueue::Job job);
  // Of that queue.
  const ProgressBoard& progress() const { return queue_.progress(); }

 private:
  void Run(std::string_view name, CommQueue::Job job);
  void Wait(CommQueue::Handle* job);

  Communicator& communicator_;
  std::unique_ptr<Communicator> extended_;
  Communicator* current_ = &communicator_;  // changed on the queue's thread alone
  CommQueue queue_;
  double blocked_ = 0.0;
  std::vector<TimeSpan> spans_;  // of that, the oldest: nobody may ever ask
  CommQueue::Handle last_sum_;   // of StartSum()
  std::shared_ptr<SumTimes> times_ = std::make_shared<SumTimes>();  // jobs may outlive this
};

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_COMM_GROUP_H_
