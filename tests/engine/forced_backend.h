// The CPU with its choices narrowed: one layout policy, one favourite algorithm.
#ifndef LOCKSTEP_TESTS_ENGINE_FORCED_BACKEND_H_
#define LOCKSTEP_TESTS_ENGINE_FORCED_BACKEND_H_

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace lockstep {

class ForcedConv : public ConvKernels {
 public:
  ForcedConv(ConvKernels& base, int policy, std::string favourite)
      : base_(base), policy_(policy), favourite_(std::move(favourite)) {}

  std::vector<std::string> Algorithms(const ConvShape& shape, ConvPass pass, Layout x, Layout y,
                                      bool exact) const override {
    auto names = base_.Algorithms(shape, pass, x, y, exact);
    const auto found = std::find(names.begin(), names.end(), favourite_);
    if (found != names.end()) std::rotate(names.begin(), found, found + 1);
    return names;
  }
  std::unique_ptr<ConvKernel> Make(const ConvShape& shape, ConvPass pass,
                                   const std::string& algorithm, Layout x,
                                   Layout y) const override {
    return base_.Make(shape, pass, algorithm, x, y);
  }
  std::vector<Layout> Layouts(int64_t c, DType dtype) const override {
    const auto layouts = base_.Layouts(c, dtype);
    return {layouts[std::min(static_cast<size_t>(policy_), layouts.size() - 1)]};
  }

 private:
  ConvKernels& base_;
  int policy_;
  std::string favourite_;
};

class ForcedBackend : public Backend {
 public:
  // An empty favourite leaves the order of the algorithms as it is.
  ForcedBackend(int threads, int policy, const std::string& favourite)
      : base_(MakeCpuBackend(threads)), conv_(base_->conv(), policy, favourite) {}

  std::string name() const override { return base_->name(); }
  std::string fingerprint() const override { return base_->fingerprint(); }
  int threads() const override { return base_->threads(); }
  void* Allocate(size_t bytes, const std::string& purpose) override {
    return base_->Allocate(bytes, purpose);
  }
  void Free(void* pointer) noexcept override { base_->Free(pointer); }
  void Enter() override { base_->Enter(); }
  void ForEachLane(int lanes, const std::function<void(int lane)>& body) override {
    base_->ForEachLane(lanes, body);
  }

  ConvKernels& conv() override { return conv_; }
  ElementwiseKernels& elementwise() override { return base_->elementwise(); }
  GemmKernels& gemm() override { return base_->gemm(); }
  NormKernels& norm() override { return base_->norm(); }
  OptimizerKernels& optimizer() override { return base_->optimizer(); }
  PoolKernels& pool() override { return base_->pool(); }
  RandomKernels& random() override { return base_->random(); }
  ReduceKernels& reduce() override { return base_->reduce(); }
  SoftmaxKernels& softmax() override { return base_->softmax(); }

 private:
  std::unique_ptr<Backend> base_;
  ForcedConv conv_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_TESTS_ENGINE_FORCED_BACKEND_H_
