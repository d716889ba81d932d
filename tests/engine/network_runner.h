// A network with all it needs to run, for tests.
#ifndef LOCKSTEP_TESTS_ENGINE_NETWORK_RUNNER_H_
#define LOCKSTEP_TESTS_ENGINE_NETWORK_RUNNER_H_

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "engine/plan/plan.h"
#include "kernels/backend.h"

namespace lockstep {

using NamedTensors = std::map<std::string, Tensor>;

// A device with what plans share. Algorithms are fixed, not timed, unless a test says otherwise.
struct TestDevice {
  explicit TestDevice(AlgorithmChooser::Options options = {.fixed = true}, int threads = 1)
      : TestDevice(MakeCpuBackend(threads), std::move(options)) {}
  TestDevice(std::unique_ptr<Backend> device, AlgorithmChooser::Options options)
      : backend(std::move(device)), arena(*backend), chooser(*backend, cache, std::move(options)) {}

  std::unique_ptr<Backend> backend;
  Arena arena;
  AlgorithmCache cache;
  AlgorithmChooser chooser;
};

class NetworkRunner {
 public:
  NetworkRunner(TestDevice& device, const Graph& graph, DType dtype,
                const std::set<std::string>& frozen = {})
      : device_(device), graph_(graph), variables(graph, *device.backend, dtype, frozen) {
    variables.Initialize(1);
  }

  std::unique_ptr<Plan> MakePlan(const PlanOptions& options) {
    return std::make_unique<Plan>(graph_, variables, *device_.backend, device_.arena,
                                  device_.chooser, options);
  }
  // Inputs must be alive while the plan runs; floating ones have the dtype of the variables.
  static LossSums Run(Plan& plan, const NamedTensors& inputs, const RunInputs& run = {}) {
    for (const auto& [name, tensor] : inputs) plan.SetInput(name, tensor.data());
    return plan.Run(run);
  }
  // What the network predicts for all rows of `x`, as one batch.
  Tensor Predict(const Tensor& x, bool fuse = true) {
    const Tensor cast = x.Cast(variables.dtype());
    const auto plan = MakePlan({.mode = Mode::kPredict, .batch = x.shape()[0], .fuse = fuse});
    Run(*plan, {{"x", cast}});
    return plan->Output();
  }

 private:
  TestDevice& device_;
  const Graph& graph_;

 public:
  Variables variables;
};

}  // namespace lockstep

#endif  // LOCKSTEP_TESTS_ENGINE_NETWORK_RUNNER_H_
