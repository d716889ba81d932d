// Gradients summed over ranks by allreduce, while the backward pass still runs.
#ifndef LOCKSTEP_COMM_ALLREDUCE_SYNC_H_
#define LOCKSTEP_COMM_ALLREDUCE_SYNC_H_

#include <cstddef>
#include <memory>
#include <vector>

#include "comm/comm_group.h"
#include "engine/train/param_sync.h"

namespace lockstep {

struct AllreduceOptions {
  // Gradients travel in pieces of this size, in the order in which the backward pass finishes
  // them; 0: in one piece.
  size_t bucket_bytes = size_t{4} << 20;
  // Whether running statistics are averaged in every step. Averaging them later gives the same
  // but for rounding, since they are linear in those of the batches; so they are the same on every
  // rank whenever somebody looks. Without it each rank keeps its own, as with ChainerMN.
  bool average_states = true;
};

// Used with one network, whose NetworkOptions::group is `group`; from its training thread.
class AllreduceSync : public ParamSync {
 public:
  // The group must outlive it.
  explicit AllreduceSync(CommGroup& group, AllreduceOptions options = {})
      : group_(group), options_(options) {}

  RankGroup& group() override { return group_; }
  void Ready(Variables& variables, int64_t end) override;
  void FinishGradients(Variables& variables) override;
  void AverageStates(Variables& variables, int64_t mine, int64_t all) override;

 private:
  template <typename T>
  void AverageStatesOf(Variables& variables, int64_t mine, int64_t all);

  CommGroup& group_;
  AllreduceOptions options_;
  int64_t sent_ = 0;                   // elements of this step that were submitted
  CommQueue::Handle last_;             // of them
  std::shared_ptr<std::byte> states_;  // all running statistics, packed
};

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_ALLREDUCE_SYNC_H_
