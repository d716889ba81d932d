#include "tests/engine/gradient_check.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace lockstep {
namespace {

constexpr double kStep = 1e-6;
constexpr int kDirections = 3;
constexpr int kElements = 4;

Shape SampleShape(Var y) { return Shape(y.shape().dims().subspan(1)); }

class Checker {
 public:
  Checker(const Graph& graph, int64_t batch, bool fuse, double tolerance)
      : runner_(device_, graph, DType::kFloat64),
        inputs_(RandomInputs(graph, batch, 7)),
        tolerance_(tolerance) {
    RandomParameters(runner_.variables, 11);
    plan_ = runner_.MakePlan(
        {.mode = Mode::kTrain, .batch = batch, .input_gradients = true, .fuse = fuse});
  }

  void Run() {
    Loss();
    // Copies: later runs overwrite them.
    std::vector<std::pair<std::string, Tensor>> parameters, inputs;
    for (const auto& entry : runner_.variables.entries()) {
      if (entry.role != Role::kParameter) continue;
      parameters.emplace_back(entry.name, runner_.variables.GetGradient(entry.name));
    }
    for (const auto& [name, value] : inputs_) {
      if (value.dtype() == DType::kFloat64 && name != "t") {
        inputs.emplace_back(name, plan_->InputGradient(name));
      }
    }
    EXPECT_FALSE(parameters.empty() && inputs.empty());
    for (const auto& [name, gradient] : parameters) {
      const auto& entry = runner_.variables.Find(name);
      Check(name, gradient, static_cast<double*>(entry.data));
    }
    for (const auto& [name, gradient] : inputs) {
      Check(name, gradient, static_cast<double*>(inputs_.at(name).data()));
    }
  }

 private:
  double Loss() { return NetworkRunner::Run(*plan_, inputs_, {.seed = 3, .epoch = 1}).loss; }

  double Derivative(double* values, const std::vector<double>& direction) {
    const std::vector<double> before(values, values + direction.size());
    const auto at = [&](double step) {
      for (size_t i = 0; i < direction.size(); ++i) values[i] = before[i] + step * direction[i];
      return Loss();
    };
    const double difference = (at(kStep) - at(-kStep)) / (2 * kStep);
    std::copy(before.begin(), before.end(), values);
    return difference;
  }

  void Check(const std::string& name, const Tensor& gradient, double* values) {
    SCOPED_TRACE(name + " " + gradient.shape().ToString());
    const auto g = gradient.values<double>();
    double norm = 0.0;
    for (const double v : g) norm += v * v;
    EXPECT_TRUE(std::isfinite(norm));
    norm = std::sqrt(norm);
    std::mt19937_64 engine(NameHash(name));
    for (int i = 0; i < kDirections + kElements; ++i) {
      std::vector<double> direction(g.size(), 0.0);
      if (i < kDirections) {
        std::normal_distribution<double> normal(0.0,
                                                1.0 / std::sqrt(static_cast<double>(g.size())));
        for (double& d : direction) d = normal(engine);
      } else {
        direction[engine() % g.size()] = 1.0;
      }
      double expected = 0.0;
      for (size_t j = 0; j < g.size(); ++j) expected += g[j] * direction[j];
      EXPECT_NEAR(expected, Derivative(values, direction), tolerance_ * std::max(1.0, norm));
    }
  }

  TestDevice device_;
  NetworkRunner runner_;
  NamedTensors inputs_;
  std::unique_ptr<Plan> plan_;
  double tolerance_;
};

}  // namespace

Tensor RandomNormal(const Shape& shape, uint64_t seed, double scale) {
  Tensor tensor(DType::kFloat64, shape);
  std::mt19937_64 engine(seed);
  std::normal_distribution<double> normal(0.0, scale);
  for (double& v : tensor.values<double>()) v = normal(engine);
  return tensor;
}

Tensor RandomLabels(int64_t rows, int32_t classes, uint64_t seed) {
  Tensor labels(DType::kInt32, {rows});
  std::mt19937_64 engine(seed);
  for (int32_t& label : labels.values<int32_t>()) {
    label = static_cast<int32_t>(engine() % static_cast<uint64_t>(classes + 1)) - 1;
  }
  if (rows > 1) labels.values<int32_t>()[0] = -1;
  return labels;
}

void SquaredLoss(Graph& graph, Var y) {
  graph.SetOutput(y);
  graph.SetLoss(MeanSquaredError(y, graph.Input("t", {SampleShape(y), DType::kFloat32})));
}

void LabelLoss(Graph& graph, Var y) {
  graph.SetOutput(y);
  graph.SetLoss(SoftmaxCrossEntropy(y, graph.Input("t", {Shape({}), DType::kInt32})));
}

NamedTensors RandomInputs(const Graph& graph, int64_t batch, uint64_t seed) {
  NamedTensors inputs;
  for (const auto& value : graph.values()) {
    if (value.role != Role::kInput) continue;
    const Shape shape = value.type.shape.WithDim(0, batch);
    inputs[value.name] =
        value.type.dtype == DType::kInt32
            ? RandomLabels(
                  batch,
                  static_cast<int32_t>(
                      graph.values()[static_cast<size_t>(graph.output())].type.shape.dim(1)),
                  seed)
            : RandomNormal(shape, seed);
    ++seed;
  }
  return inputs;
}

void RandomParameters(Variables& variables, uint64_t seed, double scale) {
  for (const auto& entry : variables.entries()) {
    if (entry.role != Role::kParameter) continue;
    variables.Set(entry.name, RandomNormal(entry.type.shape, ++seed, scale));
  }
}

void ExpectGradientsAreDerivatives(const Graph& graph, int64_t batch, bool fuse, double tolerance) {
  SCOPED_TRACE(std::string(fuse ? "fused" : "plain") + "\n" + graph.ToString());
  Checker(graph, batch, fuse, tolerance).Run();
}

}  // namespace lockstep
