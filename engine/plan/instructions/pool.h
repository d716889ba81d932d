// Instructions of pooling.
#ifndef LOCKSTEP_ENGINE_PLAN_INSTRUCTIONS_POOL_H_
#define LOCKSTEP_ENGINE_PLAN_INSTRUCTIONS_POOL_H_

#include <string>

#include "engine/plan/instruction.h"
#include "kernels/pool.h"

namespace lockstep {

class PoolForward : public Instruction {
 public:
  PoolForward(const PoolShape& shape, ValueId x, ValueId y)
      : Instruction({x}, {y}), shape_(shape) {}
  std::string kind() const override { return "pool forward"; }
  void DescribeLayouts(LayoutGroups& groups) const override;
  void Prepare(const PrepareContext& context) override;
  void Run(const RunContext& context) override;
  const PoolShape& shape() const { return shape_; }

 private:
  PoolShape shape_;
};

// Inputs dy, then x and y where the maxima must be found again; output dx.
class PoolBackward : public Instruction {
 public:
  PoolBackward(const PoolShape& shape, std::vector<ValueId> in, ValueId dx)
      : Instruction(std::move(in), {dx}), shape_(shape) {}
  std::string kind() const override { return "pool backward"; }
  void DescribeLayouts(LayoutGroups& groups) const override;
  void Prepare(const PrepareContext& context) override;
  void Run(const RunContext& context) override;
  // Whether every element of dy goes to one of dx, so that both have the same sums.
  bool keeps_sums() const;
  const PoolShape& shape() const { return shape_; }

 private:
  PoolShape shape_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_PLAN_INSTRUCTIONS_POOL_H_
