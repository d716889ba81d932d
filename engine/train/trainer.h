// The training loop: batches, updates, extensions, and the complete state in between.
#ifndef LOCKSTEP_ENGINE_TRAIN_TRAINER_H_
#define LOCKSTEP_ENGINE_TRAIN_TRAINER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/optim/schedule.h"
#include "engine/optim/updater.h"
#include "engine/train/batch_source.h"
#include "engine/train/checkpoint_contents.h"
#include "engine/train/extension.h"
#include "engine/train/late_steps.h"
#include "engine/train/ledger.h"
#include "engine/train/network.h"
#include "engine/train/param_sync.h"
#include "engine/train/step_meter.h"
#include "engine/train/step_share.h"
#include "engine/train/trigger.h"

namespace lockstep {

struct TrainerOptions {
  int64_t epochs = 1;                      // 0: no limit
  int64_t iterations = 0;                  // 0: no limit; whichever comes first
  double learning_rate = 0.0;              // 0: the optimizer's default
  std::function<bool()> should_stop = {};  // asked before each step
  // Variables has the gradients of all parameters behind a step, for extensions. Otherwise those of
  // large ones may be used up as they are computed, and of several ranks those of one may hold but
  // parts of the sums, which is faster; the weights are the same. Where one rank of several keeps
  // them all do.
  bool keep_gradients = false;
};

// Means of the batch values since the last report: a batch's loss is its sum divided by its count.
struct IntervalMeans {
  double loss = 0.0;
  double metric = 0.0;
  int64_t batches = 0;
};

// All parts must outlive the trainer. One thread. Where there are several ranks each has a trainer
// of its own, made of equal parts; the sync's group is the network's. Before the first step, and
// the first behind Restore(), ranks compare what decides the weights: AgreedError (76) names what
// differs.
class Trainer {
 public:
  // Throws ShapeError (65) when the source's batches are not what the network takes.
  Trainer(Network& network, BatchSource& source, Updater& updater, const Schedule& schedule,
          ParamSync& sync, TrainerOptions options);

  // Extensions run in this order.
  void Extend(std::unique_ptr<Extension> extension);

  // From now on steps are measured, for reports and traces. Every rank calls it.
  StepMeter& Measure(MeterOptions options = {});
  // Null where nobody measures.
  StepMeter* meter() const { return meter_.get(); }

  // That comparison. Run() and Step() make it themselves. Every rank calls it.
  void RequireSameOnAllRanks();
  // Compiles what batches run on, and chooses algorithms, before the first step; Run() does it.
  void Prepare();
  // Until a limit is reached or should_stop says so; then finishes the extensions. Throws
  // FormatError (65) when a weight is not finite in the end.
  void Run();
  // One batch: forward, backward, update, due extensions. Throws FormatError (65) naming iteration
  // and first bad row when the loss is not finite, or of several ranks the parameter whose gradient
  // is not; nothing was updated then, and where there are
  // several ranks all of them throw what the first one concerned has to say. A batch whose labels
  // are all ignored changes nothing, running statistics included. Where something throws while
  // weights are updated, what follows but Restore() throws (70). Throws AgreedError (70) when the
  // ranks together have not used each sample of an epoch once.
  //
  // One rank in the fast mode does not wait for a device with memory of its own: the step is begun,
  // and what is wrong with it is thrown where somebody waits (Settle), at the latest when its epoch
  // or Run ends. Then, too, all is as before the step, and those behind it were not made.
  void Step();
  // Waits for the steps so far. What is said of results below does so first, where there is a
  // device to wait for, and throws what Step throws.
  void Settle();
  bool Done() const;
  // True when Run ended because it was asked to.
  bool stopped() const { return stopped_; }

  const TrainingClock& clock() const { return clock_; }
  double learning_rate() const;  // of the next step
  const LossSums& last_sums();
  // What has been reported since TakeInterval() was last called.
  IntervalMeans interval();
  IntervalMeans TakeInterval();
  // Of the samples of the last epoch that ended; nothing where a checkpoint did not know all.
  const std::optional<Ledger>& epoch_ledger() const { return ledger_.last(); }
  // Named numbers that extensions leave for each other: "validation/main/loss".
  std::map<std::string, double>& observation() { return observation_; }

  Network& network() { return network_; }
  BatchSource& source() { return source_; }
  Updater& updater() { return updater_; }
  ParamSync& sync() { return sync_; }
  const TrainerOptions& options() const { return options_; }

  // The complete state; Restore continues as if never interrupted. The arrays are those of the
  // network, not copies: write them before the next step. State throws FormatError (65) when a
  // weight is not finite: such a state is not worth keeping. What the sync carries over is there
  // where every rank has called sync().state()->Collect() behind this step, as Run does when it
  // ends. Restore throws ShapeError (76) naming what differs when the checkpoint belongs to another
  // network, optimizer or data set, and FormatError (65) for values that no training leaves; all is
  // compared before anything changes. Every rank restores, the same.
  CheckpointContents State();
  void Restore(const CheckpointContents& contents);

 private:
  ScheduleTime Now() const;
  bool StepsLate() const;
  void StepLate();
  [[noreturn]] void ThrowLate(const LateSteps::Results& results);
  void EndStep(const AgreedStep& step, bool last_of_epoch);
  bool AskToStop();
  const Batch& FetchBatch();
  StepShare Compute(const Batch& batch, const GradientsReady& ready, BackwardUpdates* updates);
  // Of the step at `rate`; null where gradients are wanted as a whole.
  BackwardUpdates* UpdatesInBackward(double rate);
  // Throws where a step failed while it updated parameters, until Restore.
  void RequireWholeSteps() const;
  [[noreturn]] void ThrowBadGradient(const Batch& batch);
  void CheckFinite(const LossSums& sums, const Batch& batch, StepShare* share) const;
  void CheckLossScale(const Batch& batch) const;
  void Report(const LossSums& sums);
  void Enter(StepPart part) const {
    if (meter_) meter_->Enter(part);
  }
  bool ChecksSums() const;
  AgreedStep Agree(StepShare mine);
  void Invoke(Extension& extension);
  // The first that is not finite; null for none.
  const Variables::Entry* BadVariable() const;
  void CheckWeights(const std::string& where, StepShare* share = nullptr) const;
  std::string Where() const;                      // behind the last step
  std::string WhereIn(const Batch& batch) const;  // in the step that this batch is of

  Network& network_;
  BatchSource& source_;
  Updater& updater_;
  const Schedule& schedule_;
  ParamSync& sync_;
  TrainerOptions options_;
  std::vector<std::unique_ptr<Extension>> extensions_;
  TrainingClock clock_;
  LossSums last_sums_;
  EpochLedger ledger_;
  std::unique_ptr<StepMeter> meter_;
  std::unique_ptr<LateSteps> late_;  // null where each step is waited for
  IntervalMeans interval_;           // sums until TakeInterval divides them
  std::map<std::string, double> observation_;
  bool stopped_ = false;
  bool compared_ = false;  // with other ranks
};

// Every sample of one pass of the source, exactly once, over all ranks of the network. `source` is
// set to the start of an epoch first. Nothing when should_stop of any rank said so before a batch.
// ShapeError (65) as Trainer's constructor.
std::optional<LossSums> EvaluateAll(Network& network, BatchSource& source,
                                    const std::function<bool()>& should_stop = nullptr);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_TRAINER_H_
