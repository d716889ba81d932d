// Applies an optimizer and its hooks to all parameters of a network.
#ifndef LOCKSTEP_ENGINE_OPTIM_UPDATER_H_
#define LOCKSTEP_ENGINE_OPTIM_UPDATER_H_

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/optim/optimizer.h"
#include "engine/plan/backward_updates.h"
#include "engine/plan/variables.h"
#include "engine/tensor/device_memory.h"

namespace lockstep {

// Hooks act on the mean gradient, clipping first, as Chainer's in that order of registration.
struct UpdateHooks {
  double weight_decay = 0.0;       // g += weight_decay * p, for every trained parameter
  double gradient_clipping = 0.0;  // largest L2 norm of all gradients together; 0: no limit
};

// Owns the optimizer's state arrays: flat blocks laid out as the parameters are. Parameters that
// the variables do not train are left alone.
class Updater {
 public:
  // Variables and backend must outlive this.
  Updater(Variables& variables, Backend& backend, std::unique_ptr<Optimizer> optimizer,
          UpdateHooks hooks);
  Updater(const Updater&) = delete;
  Updater& operator=(const Updater&) = delete;

  // One step: gradients hold the sum over `count` samples; of what was updated in the backward pass
  // (UpdatesInBackward) there need not be any. A count of 0 changes nothing and is not
  // counted as a step, so that a batch of ignored labels leaves no trace. Nor is a step counted
  // that loss scaling leaves out since gradients overflowed (Variables::ScaleLoss), which is waited
  // for. Gradients lie in `parts`, which cover all flat ones one behind the other, where
  // there are any; else in the variables.
  void Update(int64_t count, double learning_rate, std::span<const GradientPart> parts = {});

  // Whether Update reads each gradient once, and so takes parts.
  bool TakesParts() const;

  // Who updates parameters in the backward pass of the step at hand (RunHooks::updates), which ends
  // with Update() with the same rate and the count of its sums, or with BreakOff(). Null where no
  // parameter may change before all gradients are there, or where the device has memory of its own.
  BackwardUpdates* UpdatesInBackward(double learning_rate);
  // The step at hand has failed, and is not made; parameters that were updated stay so.
  void BreakOff();
  // Whether a step has changed parameters and not come to its end.
  bool half_done() const { return half_done_; }

  // The same in two halves. Begin counts the step and returns its numbers in the device's memory,
  // with a count of 0: work that is begun before Apply says over how many samples gradients are
  // sums, or that the update is skipped.
  UpdateNumbers* Begin(double learning_rate);
  void Apply();

  // Parameters and states are those of whole steps again.
  void SetWhole() { half_done_ = false; }

  // Updates made so far: t of the next one, less one.
  int64_t updates() const { return updates_ - (in_backward_.count > 0 ? 1 : 0); }
  void set_updates(int64_t updates);
  const Optimizer& optimizer() const { return *optimizer_; }
  const UpdateHooks& hooks() const { return hooks_; }

  // State array `state` ("v") of a parameter: as the host sees it (ViewOnHost), or a copy.
  Tensor StateView(const std::string& parameter, const std::string& state) const;
  Tensor GetState(const std::string& parameter, const std::string& state) const;
  void SetState(const std::string& parameter, const std::string& state, const Tensor& value);

 private:
  struct Range {
    int64_t begin = 0, end = 0;  // elements of the flat block
  };
  class InBackward : public BackwardUpdates {
   public:
    explicit InBackward(Updater& updater) : updater_(updater) {}
    bool Begin(const LossSums& sums) override;
    ProductUpdate UpdateOf(int graph_value) override;
    void End();

    double learning_rate = 0.0;
    int64_t count = 0;              // of the samples of a step that was begun; 0: none was
    std::vector<int> updated = {};  // graph values

   private:
    Updater& updater_;
  };
  void* StatePointer(const std::string& parameter, const std::string& state) const;
  UpdateNumbers* Begin(double learning_rate, int64_t count);
  void EndInBackward(int64_t count, double learning_rate);
  UpdateArgs Arguments() const;
  // State array `state` from element `offset` on; null where the rule keeps fewer.
  void* StateAt(size_t state, int64_t offset) const;
  // What is trained, in long runs, but for `left_out`.
  std::vector<Range> RangesWithout(const std::vector<int>& left_out) const;
  void UpdateRanges(const std::vector<Range>& ranges);
  void RequireAll(std::span<const GradientPart> parts) const;
  void UpdateParts(std::span<const GradientPart> parts);
  void UpdateRange(Range range, const void* gradients);
  bool WasSkipped() const;

  Variables& variables_;
  Backend& backend_;
  std::unique_ptr<Optimizer> optimizer_;
  UpdateHooks hooks_;
  DeviceMemory numbers_;              // UpdateNumbers
  std::vector<DeviceMemory> states_;  // one flat block for each state name
  std::vector<Range> ranges_;         // of all that is trained
  InBackward in_backward_{*this};
  int64_t updates_ = 0;
  bool half_done_ = false;
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_OPTIM_UPDATER_H_
