// The network and the training of the golden snapshots, and of the peer that resumes ours.
#ifndef LOCKSTEP_TESTS_MODELS_SNAPSHOT_NETWORK_H_
#define LOCKSTEP_TESTS_MODELS_SNAPSHOT_NETWORK_H_

#include <memory>
#include <numeric>
#include <vector>

#include "engine/graph/layers.h"
#include "models/chainer_snapshot.h"
#include "tests/engine/gradient_check.h"
#include "tests/engine/network_runner.h"

namespace lockstep {

// conv3x3(4, no bias)-BN-ReLU over 3x6x6 pictures, linear(3).
inline void AddSnapshotNetwork(Graph& graph) {
  Var x = graph.Input("x", {{3, 6, 6}, DType::kFloat32});
  x = Conv2d(x, {.out_channels = 4, .pad_h = 1, .pad_w = 1, .bias = false},
             "predictor/block1_1/conv");
  x = Relu(BatchNorm(x, {}, "predictor/block1_1/bn"));
  LabelLoss(graph, Linear(x, {.out = 3}, "predictor/fc1"));
}

// Ten samples in batches of four, four and two: what five updates are two passes less one batch of.
class SnapshotTraining {
 public:
  explicit SnapshotTraining(std::unique_ptr<Optimizer> optimizer) {
    AddSnapshotNetwork(graph_);
    runner_ = std::make_unique<NetworkRunner>(device_, graph_, DType::kFloat32);
    updater_ = std::make_unique<Updater>(runner_->variables, *device_.backend, std::move(optimizer),
                                         UpdateHooks{});
  }

  void Step(int64_t rows, double learning_rate) {
    NamedTensors inputs = RandomInputs(graph_, rows, ++seed_);
    inputs["x"] = inputs["x"].Cast(DType::kFloat32);
    inputs["t"] = Tensor(DType::kInt32, {rows});
    const auto plan = runner_->MakePlan({.batch = rows});
    const LossSums sums = NetworkRunner::Run(*plan, inputs);
    updater_->Update(sums.count, learning_rate);
  }
  ChainerProgress Progress() const {
    std::vector<int64_t> order(10);
    std::iota(order.rbegin(), order.rend(), 0);
    return {.iteration = updater_->updates(),
            .epoch = 1,
            .position = 8,
            .batch_size = 4,
            .order = Tensor::FromValues<int64_t>({10}, order),
            .learning_rate = 0.025,
            .shifts = 1,
            .log = R"([{"main/loss": 1.5, "main/accuracy": 0.25, "epoch": 1, "iteration": 3}])",
            .elapsed_seconds = 0.5};
  }

  Variables& variables() { return runner_->variables; }
  Updater& updater() { return *updater_; }

 private:
  Graph graph_;
  TestDevice device_;
  std::unique_ptr<NetworkRunner> runner_;
  std::unique_ptr<Updater> updater_;
  uint64_t seed_ = 0;
};

}  // namespace lockstep

#endif  // LOCKSTEP_TESTS_MODELS_SNAPSHOT_NETWORK_H_
