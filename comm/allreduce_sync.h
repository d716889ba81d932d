// Gradients summed over ranks by allreduce, while the backward pass still runs.
#ifndef LOCKSTEP_COMM_ALLREDUCE_SYNC_H_
#define LOCKSTEP_COMM_ALLREDUCE_SYNC_H_

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "comm/comm_group.h"
#include "comm/device_narrow_sums.h"
#include "comm/narrow_sums.h"
#include "comm/sum_times.h"
#include "engine/tensor/tensor.h"
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
  // kFloat16 or kBfloat16: gradients travel in 16 bits (comm/narrow_sums.h); none: as they are.
  std::optional<WireType> wire = {};
  // What rounding to 16 bits takes from a gradient is added to the next one. Not with a loss scale
  // (ConfigError, 64): the two may be times different scales.
  bool error_feedback = true;
  // Gradients are summed during the whole of the next step and used at its end, one step late, as
  // by ChainerMN's create_multi_node_optimizer(double_buffering=True): the first step updates
  // nothing, and what the last one computes is never used.
  bool double_buffering = false;
  // Sums of fewer bytes are whole on every rank. Parts of them would still lie in the caches of the
  // cores that made them, from where others read them more slowly than from memory: of 7 MB (an
  // MLP) parts cost 6 % of a step, of 15 and 60 MB (VGG) they saved 4 %.
  size_t least_bytes_in_parts = size_t{8} << 20;
};

// Used with one network, whose NetworkOptions::group is `group`; from its training thread.
//
// Gradients are summed where they lie when the group reaches the network's device: a bucket is sent
// as soon as the host has begun the work that finishes it, the communicating thread waits until the
// device has done that work, and sums beside what the device does next. Otherwise, and where they
// travel as float16, they are summed in the host's memory, which they come to and go back from.
//
// Where all ranks share memory and steps may have their sums in parts, a rank writes its part of
// each bucket into its own gradients alone; all update from there.
class AllreduceSync : public ParamSync, public SyncState {
 public:
  // The group must outlive it.
  explicit AllreduceSync(CommGroup& group, AllreduceOptions options = {})
      : group_(group), options_(options) {}

  RankGroup& group() override { return group_; }
  std::string settings() const override;
  void Prepare(Variables& variables) override;
  void BeginStep(Variables& variables, bool in_parts) override;
  void Ready(Variables& variables, int64_t end) override;
  std::span<const GradientPart> FinishGradients(Variables& variables) override;
  bool ShareOfSumsIsFinite(const Variables& variables) const override;
  int64_t CountOf(int64_t count) override;
  void AverageStates(Variables& variables, int64_t mine, int64_t all) override;
  std::vector<SumTime> TakeTimes() override;
  SyncState* state() override;
  void LetGoOfDevice() noexcept override;

  // "sync/...": the residuals of all ranks, and gradients that are not used yet. Restored on other
  // ranks than it was saved on, the first one takes the sum of the residuals.
  void Collect(Variables& variables) override;
  void Save(CheckpointContents* contents) const override;
  void Check(const CheckpointContents& contents, const Variables& variables) const override;
  void Restore(const CheckpointContents& contents, const Variables& variables) override;

 private:
  template <typename T>
  void AverageStatesOf(Variables& variables, int64_t mine, int64_t all);
  // The flat gradients that are summed.
  const std::shared_ptr<void>& Summed(const Variables& variables) const {
    return on_device_ ? variables.shared_gradients() : variables.host_gradients();
  }
  std::shared_ptr<void> AllocateFlat(const Variables& variables, const char* purpose);
  bool CanBeInParts(const Variables& variables) const;
  // Once, by all ranks: where each of them wants parts and they share memory there will be some.
  void ShareGradients(Variables& variables, bool wanted);
  // Elements of a piece.
  int64_t BucketOf(const Variables& variables) const;
  // Sends what is not sent of [0, end) of these flat gradients.
  void Submit(const std::shared_ptr<void>& gradients, const Variables& variables, int64_t end);
  // For what was sent; the gradients are sums then.
  void FinishSent();
  // Whether these gradients can be rounded to what travels where they lie.
  bool CanNarrowOnDevice(const Variables& variables) const;
  // What rounding took so far, where that is kept.
  std::optional<Tensor> Residual() const;
  // Sends what the step before has left.
  void SubmitPending(const Variables& variables);
  // This step's gradients wait for the next one, and the sums of the step before take their place.
  void ExchangePending(Variables& variables);
  void CollectResiduals();
  void TakeRestored(const Variables& variables);

  CommGroup& group_;
  AllreduceOptions options_;
  int64_t sent_ = 0;        // elements of this step that were submitted
  int64_t fetched_ = 0;     // those that lie in the host's memory
  CommQueue::Handle last_;  // of them
  std::shared_ptr<SumTimes> times_ = std::make_shared<SumTimes>();  // jobs may outlive this
  bool prepared_ = false;
  bool on_device_ = false;  // sums are made in the memory of a device that is not the host's
  // Of sums in parts: those that this rank made in this step are finite.
  std::shared_ptr<std::atomic<bool>> finite_ = std::make_shared<std::atomic<bool>>(true);
  // Everybody's gradients, which hold them; and where each part of the sums lies. Empty where sums
  // cannot be in parts.
  std::vector<std::shared_ptr<const void>> shared_;
  std::vector<GradientPart> parts_;
  bool asked_to_share_ = false;
  bool in_parts_ = false;              // this step's sums are
  std::shared_ptr<std::byte> states_;  // all running statistics, packed
  // One of them for a narrow wire. What was sent on a device becomes sums in these gradients.
  std::shared_ptr<NarrowSums> narrow_;
  std::shared_ptr<DeviceNarrowSums> device_narrow_;
  std::shared_ptr<void> narrowed_;

  // Of double buffering: the gradients of the step before, over how many labels they are sums, and
  // whether those of all ranks are in it. On a device they change places by way of a third block.
  std::shared_ptr<void> pending_, spare_;
  int64_t pending_count_ = 0;
  bool pending_is_sum_ = false;

  // Of the state: what Collect brought together behind this step, on rank 0, and what Restore has
  // for Prepare to take.
  bool collected_ = false;
  TensorType flat_;
  std::vector<Tensor> residuals_;
  Tensor collected_pending_;
  std::optional<Tensor> restored_residual_, restored_pending_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_ALLREDUCE_SYNC_H_
