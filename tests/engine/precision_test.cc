// Mixed precision: what a plan computes in 16 bits, and what stays float32.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <sstream>

#include "engine/graph/custom_op.h"
#include "engine/train/network.h"
#include "kernels/error.h"
#include "kernels/math/half.h"
#include "tests/engine/compare.h"
#include "tests/engine/gradient_check.h"
#include "tests/engine/network_runner.h"
#include "tests/engine/rounding.h"
#include "tests/engine/test_networks.h"

namespace lockstep {
namespace {

using testing::HasSubstr;

constexpr int64_t kBatch = 6;
constexpr DType kHalves[] = {DType::kFloat16, DType::kBfloat16};

struct Step {
  LossSums sums = {};
  NamedTensors gradients = {};
  std::string plan = {};
  int64_t halves = 0;  // lines that write 16 bits
};

Step RunStep(const Graph& graph, std::optional<DType> compute, bool fuse = true) {
  TestDevice device;
  NetworkRunner runner(device, graph, DType::kFloat32);
  NamedTensors inputs = RandomInputs(graph, kBatch, 17);
  for (auto& [name, value] : inputs) {
    if (IsFloating(value.dtype())) value = value.Cast(DType::kFloat32);
  }
  const auto plan = runner.MakePlan({.batch = kBatch, .compute_dtype = compute, .fuse = fuse});
  Step step{.sums = NetworkRunner::Run(*plan, inputs, {.seed = 1}), .plan = plan->ToString()};
  for (const auto& entry : runner.variables.entries()) {
    if (entry.trained) step.gradients[entry.name] = runner.variables.GetGradient(entry.name);
  }
  if (compute) step.halves = LinesOf(step.plan, *compute);
  return step;
}

double Norm(const Tensor& a) {
  double sum = 0;
  for (const float value : a.values<float>()) sum += static_cast<double>(value) * value;
  return std::sqrt(sum);
}

void ExpectFollowsFloat32(const Graph& graph, DType dtype, bool fuse) {
  SCOPED_TRACE(std::string(Name(dtype)) + (fuse ? " fused" : ""));
  const Step wanted = RunStep(graph, std::nullopt, fuse), found = RunStep(graph, dtype, fuse);
  ASSERT_GT(found.halves, 10) << found.plan;
  const double tolerance = StepTolerance(dtype, found.halves, Selections(graph));
  EXPECT_EQ(found.sums.count, wanted.sums.count);
  EXPECT_NEAR(found.sums.loss, wanted.sums.loss, tolerance * std::abs(wanted.sums.loss));
  const double distance = Distance(found.gradients, wanted.gradients);
  EXPECT_LT(distance, tolerance) << found.halves << " lines";
  EXPECT_GT(distance, Roundoff(dtype) / 16) << "computed in float32?";
}

TEST(MixedPrecision, GradientsFollowThoseOfFloat32) {
  for (const auto add : {AddSmooth, AddMiniVgg, AddZoo}) {
    Graph graph;
    add(graph);
    for (const DType dtype : kHalves) {
      for (const bool fuse : {true, false}) ExpectFollowsFloat32(graph, dtype, fuse);
    }
  }
}

// One weight, one copy; the input and what comes in front of the loss are cast once.
TEST(MixedPrecision, CastsEachValueOnce) {
  Graph graph;
  Var x = graph.Input("x", {{4}, DType::kFloat32});
  const Var h = Relu(Linear(x, {.out = 8}, "l1"));
  LabelLoss(graph, Add(Linear(h, {.out = 3}, "l2"), Linear(h, {.out = 3}, "l3")));
  const Step step = RunStep(graph, DType::kBfloat16);
  std::istringstream lines(step.plan);
  int casts = 0;
  for (std::string line; std::getline(lines, line);) casts += line.find(" cast ") != line.npos;
  // x, W and b of three layers, the logits and their gradient.
  EXPECT_EQ(casts, 1 + 6 + 2) << step.plan;
}

// A gradient that had been 16 bits on the way would hold values of 16 bits alone.
TEST(MixedPrecision, GradientsOfParametersAreNotRounded) {
  Graph graph;
  AddMiniVgg(graph);
  const Step step = RunStep(graph, DType::kBfloat16);
  for (const auto& [name, gradient] : step.gradients) {
    if (!name.ends_with("/W")) continue;  // few terms of 16 bits may add up to one
    int rounded = 0;
    for (const float value : gradient.values<float>()) {
      rounded += math::WidenBfloat16(math::NarrowBfloat16(value)) == value && value != 0.0F;
    }
    EXPECT_LE(rounded, 1 + gradient.size() / 8) << name;
    EXPECT_GT(Norm(gradient), 0.0) << name;
  }
}

TEST(MixedPrecision, PredictsFloat32NearThatOfFloat32) {
  Graph graph;
  AddMiniVgg(graph);
  const auto backend = MakeCpuBackend(1);
  Network full(graph, *backend, {.seed = 3});
  Network mixed(graph, *backend, {.compute_dtype = DType::kBfloat16, .seed = 3});
  const Tensor x = RandomNormal({4, 3, 13, 10}, 5).Cast(DType::kFloat32);
  const Tensor wanted = full.Predict(x), found = mixed.Predict(x);
  ASSERT_EQ(found.dtype(), DType::kFloat32);
  const double distance = Distance({{"y", found}}, {{"y", wanted}});
  EXPECT_LT(distance, 0.05);
  EXPECT_GT(distance, 1e-5);
}

TEST(MixedPrecision, GradientOfAnInputIsFloat32) {
  Graph graph;
  AddZoo(graph);
  TestDevice device;
  NetworkRunner runner(device, graph, DType::kFloat32);
  NamedTensors inputs = RandomInputs(graph, kBatch, 17);
  for (auto& [name, value] : inputs) value = value.Cast(DType::kFloat32);
  NamedTensors gradients[2];
  for (const bool mixed : {false, true}) {
    const auto plan =
        runner.MakePlan({.batch = kBatch,
                         .compute_dtype = mixed ? std::optional(DType::kBfloat16) : std::nullopt,
                         .input_gradients = true});
    NetworkRunner::Run(*plan, inputs);
    gradients[mixed]["x"] = plan->InputGradient("x");
  }
  ASSERT_EQ(gradients[1]["x"].dtype(), DType::kFloat32);
  EXPECT_LT(Distance(gradients[1], gradients[0]), 0.1);
}

// Doubles its input, and notes of what type that is.
class Doubling : public CustomOp {
 public:
  explicit Doubling(std::vector<DType>* seen) : seen_(seen) {}
  std::string type() const override { return "Doubling"; }
  std::vector<TensorType> Infer(std::span<const TensorType> in) const override { return {in[0]}; }
  void Compute(const ForwardArgs& args) const override { Scale(args.inputs[0], &args.outputs[0]); }
  void Differentiate(const BackwardArgs& args) const override {
    Scale(args.output_gradients[0], &args.input_gradients[0]);
  }

 private:
  void Scale(const Tensor& from, Tensor* to) const {
    seen_->push_back(from.dtype());
    for (size_t i = 0; i < from.values<float>().size(); ++i) {
      to->values<float>()[i] = 2.0F * from.values<float>()[i];
    }
  }
  std::vector<DType>* seen_;
};

TEST(MixedPrecision, AnOpOfOnesOwnSeesFloat32) {
  std::vector<DType> seen;
  Graph graph;
  const Var x = graph.Input("x", {{4}, DType::kFloat32});
  const Var inputs[] = {Linear(x, {.out = 8}, "l1")};
  const Var doubled = graph.Apply(std::make_shared<Doubling>(&seen), inputs, "doubled").front();
  LabelLoss(graph, Linear(doubled, {.out = 3}, "l2"));
  const Step step = RunStep(graph, DType::kBfloat16);
  EXPECT_EQ(seen, (std::vector<DType>{DType::kFloat32, DType::kFloat32}));
  EXPECT_GT(Norm(step.gradients.at("l1/W")), 0.0);
}

std::string Refusal(const NetworkOptions& options) {
  Graph graph;
  SquaredLoss(graph, Linear(graph.Input("x", {{4}, DType::kFloat32}), {.out = 2}, "l"));
  const auto backend = MakeCpuBackend(1);
  try {
    Network(graph, *backend, options);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(MixedPrecision, IsOfFloat32And16BitsAlone) {
  EXPECT_EQ(Refusal({.compute_dtype = DType::kFloat32}), "");
  EXPECT_EQ(Refusal({.compute_dtype = DType::kBfloat16}), "");
  EXPECT_THAT(Refusal({.dtype = DType::kFloat64, .compute_dtype = DType::kBfloat16}),
              HasSubstr("a network of float64 does not compute in bfloat16"));
  EXPECT_THAT(Refusal({.compute_dtype = DType::kFloat64}),
              HasSubstr("a network of float32 does not compute in float64"));
}

TEST(MixedPrecision, LanesGiveTheSameBitsOnAnyNumberOfThreads) {
  Graph graph;
  AddMiniVgg(graph);
  NamedTensors inputs = RandomInputs(graph, kBatch, 17);
  const Tensor x = inputs.at("x").Cast(DType::kFloat32), t = inputs.at("t");
  const std::vector<int64_t> ids{0, 1, 2, 3, 4, 5};
  NamedTensors first;
  for (const int threads : {1, 3}) {
    const auto backend = MakeCpuBackend(threads);
    Network network(graph, *backend, {.compute_dtype = DType::kBfloat16, .seed = 3, .lanes = 3});
    Batch batch;
    batch.x = x.data();
    batch.labels = t.data();
    batch.ids = ids;
    batch.rows = kBatch;
    network.Train(batch);
    for (const auto& entry : network.variables().entries()) {
      if (!entry.trained) continue;
      const Tensor gradient = network.variables().GetGradient(entry.name);
      if (threads == 1) {
        first[entry.name] = gradient;
      } else {
        EXPECT_TRUE(SameBits(gradient, first.at(entry.name))) << entry.name;
      }
    }
  }
}

}  // namespace
}  // namespace lockstep
