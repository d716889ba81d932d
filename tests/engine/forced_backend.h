// The CPU with its choices narrowed: one layout policy, one favourite algorithm.
#ifndef LOCKSTEP_TESTS_ENGINE_FORCED_BACKEND_H_
#define LOCKSTEP_TESTS_ENGINE_FORCED_BACKEND_H_

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "tests/kernels/backend_wrapper.h"

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
  bool can_pool(const ConvShape& shape) const override { return base_.can_pool(shape); }
  std::unique_ptr<PooledConvKernel> MakePooled(const ConvShape& shape, Layout y) const override {
    return base_.MakePooled(shape, y);
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

class ForcedBackend : public BackendWrapper {
 public:
  // An empty favourite leaves the order of the algorithms as it is.
  ForcedBackend(int threads, int policy, const std::string& favourite)
      : BackendWrapper(MakeCpuBackend(threads)), conv_(base().conv(), policy, favourite) {}

  ConvKernels& conv() override { return conv_; }

 private:
  ForcedConv conv_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_TESTS_ENGINE_FORCED_BACKEND_H_
