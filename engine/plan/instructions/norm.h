// Instructions of batch normalisation.
#ifndef LOCKSTEP_ENGINE_PLAN_INSTRUCTIONS_NORM_H_
#define LOCKSTEP_ENGINE_PLAN_INSTRUCTIONS_NORM_H_

#include <span>
#include <string>
#include <vector>

#include "engine/plan/instruction.h"
#include "engine/plan/join.h"
#include "engine/plan/lane_norm.h"
#include "kernels/norm.h"

namespace lockstep {

// What may run behind the normalisation in the same pass over memory; set by fusion.
struct NormTail {
  Activation activation = Activation::kIdentity;
  double dropout_ratio = 0.0;
  uint64_t dropout_hash = 0;
  // Max pooling by 2x2 behind a ReLU without dropout (PooledNormKernels): y and dy are pooled.
  bool pooled = false;

  bool empty() const { return activation == Activation::kIdentity; }
};

// How running statistics follow those of the batch: avg = decay * avg + (1 - decay) * batch.
struct RunningStatistics {
  double decay = 0.9;
  bool unbiased = true;  // Chainer keeps m / (m - 1) times the batch variance, MXNet the variance
};

class NormInstruction : public Instruction {
 public:
  NormInstruction(DType dtype, std::vector<ValueId> in, std::vector<ValueId> out)
      : Instruction(std::move(in), std::move(out)) {
    shape_.dtype = dtype;
  }
  void Prepare(const PrepareContext& context) override;
  DType dtype() const { return shape_.dtype; }

  NormTail tail;

 protected:
  virtual ValueId picture() const = 0;
  // The shape with the dropout of this run.
  BatchNormShape ShapeFor(const RunContext& context) const;
  int64_t channels() const { return shape_.picture.c; }
  // Values a channel has in a lane; lanes may differ by a sample.
  double CountOf(const RunContext& lane) const {
    return static_cast<double>(lane.rows * shape_.picture.h * shape_.picture.w);
  }
  // What a lane gives to a join: two sums a channel, then its count.
  void Give(const RunContext& lane, ValueId first, ValueId second, double* given) const;

  BatchNormShape shape_;
};

// What the samples of a batch have in common is needed between two walks over a lane's picture:
// statistics, then their use. So forward and backward are three instructions each, and the one in
// the middle joins the lanes (Instruction::Join).

// Input x; outputs mean and m2 (double) of this lane's part of the batch.
class BatchNormMoments : public NormInstruction {
 public:
  BatchNormMoments(DType dtype, ValueId x, ValueId mean, ValueId m2)
      : NormInstruction(dtype, {x}, {mean, m2}) {}
  std::string kind() const override { return "batch norm moments"; }
  void DescribeLayouts(LayoutGroups&) const override {}
  void Run(const RunContext& context) override;

 private:
  ValueId picture() const override { return inputs[0]; }
};

// Inputs mean, m2, x (for its extents), avg_mean, avg_var (updated once for the whole batch);
// outputs the mean and inv_std to normalise with.
class BatchNormJoin : public NormInstruction {
 public:
  BatchNormJoin(DType dtype, double eps, RunningStatistics running, LaneNorm lane_norm,
                std::vector<ValueId> in, std::vector<ValueId> out)
      : NormInstruction(dtype, std::move(in), std::move(out)),
        eps_(eps),
        running_(running),
        lane_norm_(lane_norm) {}
  std::string kind() const override { return "batch norm join"; }
  bool reads(size_t input) const override { return inputs[input] != picture(); }
  void DescribeLayouts(LayoutGroups&) const override {}
  int64_t join_size() const override { return 2 * channels() + 1; }
  void GiveToJoin(const RunContext& lane, double* given) const override;
  void Join(const JoinedLanes& lanes) override;
  // Of one lane alone: no number goes through the host.
  void Run(const RunContext& context) override;

 private:
  // The moments of several lanes together.
  struct Merged {
    double count = 0.0;
    std::vector<double> mean, m2;
  };
  ValueId picture() const override { return inputs[2]; }
  MomentsUse UseOf(double count) const;
  Merged Merge(std::span<const double> given) const;
  template <typename T>
  void FollowRunning(const RunContext& context, const Merged& all) const;

  double eps_;
  RunningStatistics running_;
  LaneNorm lane_norm_;
};

// Inputs x, mean, inv_std, gamma, beta; output y.
class BatchNormNormalize : public NormInstruction {
 public:
  BatchNormNormalize(DType dtype, std::vector<ValueId> in, ValueId y)
      : NormInstruction(dtype, std::move(in), {y}) {}
  std::string kind() const override { return "batch norm forward"; }
  void DescribeLayouts(LayoutGroups& groups) const override;
  void Run(const RunContext& context) override;

 private:
  ValueId picture() const override { return inputs[0]; }
};

// Inputs x, gamma, beta, mean, variance; output y.
class BatchNormInference : public NormInstruction {
 public:
  BatchNormInference(DType dtype, double eps, std::vector<ValueId> in, ValueId y)
      : NormInstruction(dtype, std::move(in), {y}), eps_(eps) {}
  std::string kind() const override { return "batch norm inference"; }
  void DescribeLayouts(LayoutGroups& groups) const override;
  int reusable_input() const override { return 0; }
  size_t scratch_bytes() const override;
  void Run(const RunContext& context) override;
  double eps() const { return eps_; }

 private:
  ValueId picture() const override { return inputs[0]; }
  double eps_;
};

// Inputs x, dy, mean, inv_std, then y when there is a tail, and gamma when that is pooled; outputs
// this lane's sums (double).
class BatchNormGradientSums : public NormInstruction {
 public:
  BatchNormGradientSums(DType dtype, std::vector<ValueId> in, ValueId sum_dz, ValueId sum_dz_xhat)
      : NormInstruction(dtype, std::move(in), {sum_dz, sum_dz_xhat}) {}
  std::string kind() const override { return "batch norm gradient sums"; }
  void DescribeLayouts(LayoutGroups& groups) const override;
  void Run(const RunContext& context) override;

 private:
  ValueId picture() const override { return inputs[0]; }
};

// Inputs sum_dz, sum_dz_xhat, x (for its extents); outputs the sums and the count to apply, then
// those of dgamma and dbeta that are wanted. Parameters' gradients are added up over lanes later:
// a lane gives its own part.
class BatchNormGradientJoin : public NormInstruction {
 public:
  struct Outputs {
    ValueId sum_dz = -1, sum_dz_xhat = -1, count = -1;
    ValueId dgamma = -1, dbeta = -1;
  };
  BatchNormGradientJoin(DType dtype, LaneNorm lane_norm, std::vector<ValueId> in, Outputs out);
  std::string kind() const override { return "batch norm gradient join"; }
  bool reads(size_t input) const override { return inputs[input] != picture(); }
  void DescribeLayouts(LayoutGroups&) const override {}
  int64_t join_size() const override { return 2 * channels() + 1; }
  void GiveToJoin(const RunContext& lane, double* given) const override;
  void Join(const JoinedLanes& lanes) override;
  void Run(const RunContext& context) override;

 private:
  ValueId picture() const override { return inputs[2]; }
  void* Gradient(const RunContext& lane, int output) const {
    return output < 0 ? nullptr : lane.at(outputs[static_cast<size_t>(output)]);
  }

  LaneNorm lane_norm_;
  int dgamma_ = -1, dbeta_ = -1;  // indices of outputs
};

// Inputs x, dy, mean, inv_std, gamma, sum_dz, sum_dz_xhat, count, then y when there is a tail;
// output dx.
class BatchNormGradientApply : public NormInstruction {
 public:
  BatchNormGradientApply(DType dtype, std::vector<ValueId> in, ValueId dx)
      : NormInstruction(dtype, std::move(in), {dx}) {}
  std::string kind() const override { return "batch norm backward"; }
  void DescribeLayouts(LayoutGroups& groups) const override;
  int reusable_input() const override { return tail.pooled ? -1 : 1; }
  void Run(const RunContext& context) override;

 private:
  ValueId picture() const override { return inputs[0]; }
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_PLAN_INSTRUCTIONS_NORM_H_
