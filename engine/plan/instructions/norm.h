// Instructions of batch normalisation.
#ifndef LOCKSTEP_ENGINE_PLAN_INSTRUCTIONS_NORM_H_
#define LOCKSTEP_ENGINE_PLAN_INSTRUCTIONS_NORM_H_

#include <string>

#include "engine/plan/instruction.h"
#include "kernels/norm.h"

namespace lockstep {

// What may run behind the normalisation in the same pass over memory; set by fusion.
struct NormTail {
  Activation activation = Activation::kIdentity;
  double dropout_ratio = 0.0;
  uint64_t dropout_hash = 0;

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

  NormTail tail;

 protected:
  virtual ValueId picture() const = 0;
  // The shape with the dropout of this run.
  BatchNormShape ShapeFor(const RunContext& context) const;
  int64_t channels() const { return shape_.picture.c; }
  double count() const {
    return static_cast<double>(shape_.picture.n * shape_.picture.h * shape_.picture.w);
  }

  BatchNormShape shape_;
};

// Inputs x, gamma, beta, avg_mean, avg_var (updated); outputs y, mean, inv_std (double).
class BatchNormForward : public NormInstruction {
 public:
  BatchNormForward(DType dtype, double eps, RunningStatistics running, std::vector<ValueId> in,
                   std::vector<ValueId> out)
      : NormInstruction(dtype, std::move(in), std::move(out)), eps_(eps), running_(running) {}
  std::string kind() const override { return "batch norm forward"; }
  void DescribeLayouts(LayoutGroups& groups) const override;
  void Run(const RunContext& context) override;

 private:
  ValueId picture() const override { return inputs[0]; }
  template <typename T>
  void UpdateRunning(const RunContext& context, const double* mean, const double* m2) const;

  double eps_;
  RunningStatistics running_;
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
  template <typename T>
  void LoadStatistics(const RunContext& context, double* mean, double* inv_std) const;

  double eps_;
};

// Inputs x, dy, mean, inv_std, gamma, then y when there is a tail; outputs those of dx, dgamma and
// dbeta that are wanted.
class BatchNormBackward : public NormInstruction {
 public:
  struct Outputs {
    ValueId dx = -1, dgamma = -1, dbeta = -1;
  };
  BatchNormBackward(DType dtype, std::vector<ValueId> in, Outputs wanted);
  std::string kind() const override { return "batch norm backward"; }
  void DescribeLayouts(LayoutGroups& groups) const override;
  int reusable_input() const override { return has_dx_ ? 1 : -1; }
  size_t scratch_bytes() const override;
  void Run(const RunContext& context) override;

 private:
  ValueId picture() const override { return inputs[0]; }

  bool has_dx_;
  int dgamma_ = -1, dbeta_ = -1;  // indices of outputs
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_PLAN_INSTRUCTIONS_NORM_H_
