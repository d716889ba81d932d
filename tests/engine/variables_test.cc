#include "engine/plan/variables.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/graph/layers.h"
#include "engine/optim/updater.h"
#include "kernels/error.h"
#include "tests/engine/compare.h"
#include "tests/engine/forced_backend.h"

namespace lockstep {
namespace {

// Memory for a few blocks only.
class ShortBackend : public ForcedBackend {
 public:
  explicit ShortBackend(int blocks) : ForcedBackend(1, 0, ""), left_(blocks) {}
  void* Allocate(size_t bytes, const std::string& purpose) override {
    if (left_-- <= 0) throw DeviceError("no memory left for " + purpose);
    ++blocks_;
    return ForcedBackend::Allocate(bytes, purpose);
  }
  void Free(void* pointer) noexcept override {
    --blocks_;
    ForcedBackend::Free(pointer);
  }
  int blocks() const { return blocks_; }

 private:
  int left_, blocks_ = 0;
};

class VariablesTest : public testing::Test {
 protected:
  VariablesTest() {
    const Var x = graph_.Input("x", {{3, 7, 5}, DType::kFloat32});
    const Var h = BatchNorm(Conv2d(x, {.out_channels = 5}, "conv"), {}, "bn");
    Linear(h, {.out = 40}, "fc");
  }

  Graph graph_;
  std::unique_ptr<Backend> backend_ = MakeCpuBackend(1);
};

TEST_F(VariablesTest, ParametersLieInOneAlignedBlockLastLayerFirst) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat64}) {
    const Variables variables(graph_, *backend_, dtype);
    const auto element = static_cast<int64_t>(SizeOf(dtype));
    int64_t end = 0;
    std::vector<std::string> order;
    for (const auto& entry : variables.entries()) {
      EXPECT_EQ(reinterpret_cast<uintptr_t>(entry.data) % 64, 0U) << entry.name;
      if (entry.role != Role::kParameter) continue;
      order.push_back(entry.name);
      EXPECT_GE(entry.offset, end);
      EXPECT_EQ(entry.data, static_cast<char*>(variables.parameters()) + entry.offset * element);
      EXPECT_EQ(entry.gradient, static_cast<char*>(variables.gradients()) + entry.offset * element);
      end = entry.offset + entry.type.shape.size();
    }
    EXPECT_LE(end, variables.flat_size());
    EXPECT_EQ(order, (std::vector<std::string>{"fc/b", "fc/W", "bn/beta", "bn/gamma", "conv/b",
                                               "conv/W"}));
  }
}

TEST_F(VariablesTest, InitialValuesFollowSeedAndNameOnly) {
  Variables a(graph_, *backend_, DType::kFloat32);
  a.Initialize(4);
  Graph other;
  const Var x = other.Input("x", {{3, 7, 5}, DType::kFloat32});
  Conv2d(x, {.out_channels = 2}, "extra");
  Conv2d(x, {.out_channels = 5}, "conv");
  Variables b(other, *backend_, DType::kFloat32);
  b.Initialize(4);
  EXPECT_TRUE(SameBits(a.Get("conv/W"), b.Get("conv/W")));
  b.Initialize(5);
  EXPECT_FALSE(SameBits(a.Get("conv/W"), b.Get("conv/W")));
}

TEST_F(VariablesTest, StartAsChainersDo) {
  Variables variables(graph_, *backend_, DType::kFloat64);
  variables.Initialize(1);
  const Tensor w = variables.Get("fc/W");  // (40, 75): LeCun normal, variance 1 / 75
  double sum = 0.0, squares = 0.0;
  for (const double v : w.values<double>()) {
    sum += v;
    squares += v * v;
  }
  const auto n = static_cast<double>(w.size());
  EXPECT_NEAR(sum / n, 0.0, 4 * std::sqrt(1.0 / 75 / n));
  EXPECT_NEAR(squares / n * 75, 1.0, 4 * std::sqrt(2 / n));
  const auto constant = [&](const std::string& name, double wanted) {
    const Tensor tensor = variables.Get(name);
    for (const double v : tensor.values<double>()) EXPECT_EQ(v, wanted) << name;
  };
  constant("fc/b", 0.0);
  constant("bn/gamma", 1.0);
  constant("bn/beta", 0.0);
  constant("bn/avg_mean", 0.0);
  constant("bn/avg_var", 1.0);
  EXPECT_EQ(variables.Find("bn/N").type, (TensorType{Shape({}), DType::kInt64}));
}

// The fans differ in both, so that none can stand for the other.
TEST_F(VariablesTest, WeightsHaveTheVarianceOfTheirFans) {
  struct Case {
    Initializer initializer;
    double (*variance)(double fan_in, double fan_out);
  };
  const auto lecun = [](double fan_in, double) { return 1.0 / fan_in; };
  const auto glorot = [](double fan_in, double fan_out) { return 2.0 / (fan_in + fan_out); };
  const auto he = [](double fan_in, double) { return 2.0 / fan_in; };
  const auto expect = [](const Tensor& w, const Initializer& initializer, double variance) {
    const bool uniform = initializer.distribution == Initializer::Distribution::kUniform;
    const double bound = std::sqrt(3.0 * variance);
    double sum = 0.0, squares = 0.0, largest = 0.0;
    for (const double v : w.values<double>()) {
      sum += v;
      squares += v * v;
      largest = std::max(largest, std::abs(v));
    }
    const auto n = static_cast<double>(w.size());
    EXPECT_NEAR(sum / n, 0.0, 4 * std::sqrt(variance / n));
    EXPECT_NEAR(squares / n / variance, 1.0, 4 * std::sqrt((uniform ? 0.8 : 2.0) / n));
    // Of so many numbers some lie at the bound, and normal ones outside.
    EXPECT_EQ(largest <= bound, uniform) << largest << " of " << bound;
    EXPECT_GT(largest, 0.99 * bound);
  };
  int number = 0;
  for (const auto& [initializer, variance] :
       {Case{Initializer::LeCunNormal(), lecun}, Case{Initializer::LeCunUniform(), lecun},
        Case{Initializer::GlorotNormal(), glorot}, Case{Initializer::GlorotUniform(), glorot},
        Case{Initializer::HeNormal(), he}, Case{Initializer::HeUniform(), he}}) {
    SCOPED_TRACE(number++);
    Graph graph;
    const Var x = graph.Input("x", {{3, 7, 5}, DType::kFloat64});
    const Var h = Conv2d(
        x, {.out_channels = 40, .kernel_h = 5, .kernel_w = 4, .weights = initializer}, "conv");
    Linear(h, {.out = 90, .weights = initializer}, "fc");
    Variables variables(graph, *backend_, DType::kFloat64);
    variables.Initialize(1);
    const Tensor conv = variables.Get("conv/W"), fc = variables.Get("fc/W");
    ASSERT_EQ(conv.shape(), Shape({40, 3, 5, 4}));
    ASSERT_EQ(fc.shape(), Shape({90, 240}));
    expect(conv, initializer, variance(3 * 5 * 4, 40 * 5 * 4));
    expect(fc, initializer, variance(240, 90));
  }
}

TEST_F(VariablesTest, SetCastsAndChecks) {
  Variables variables(graph_, *backend_, DType::kFloat32);
  variables.Initialize(1);
  Tensor beta(DType::kFloat64, {5});
  beta.values<double>()[3] = 0.5;
  variables.Set("bn/beta", beta);
  EXPECT_TRUE(SameBits(variables.Get("bn/beta"), beta.Cast(DType::kFloat32)));
  try {
    variables.Set("bn/beta", Tensor(DType::kFloat32, {4}));
    FAIL();
  } catch (const ShapeError& error) {
    EXPECT_STREQ(error.what(), "bn/beta has shape (4,); the network wants (5,)");
  }
  EXPECT_THROW(variables.Get("bn/delta"), ConfigError);
  EXPECT_THROW(variables.GetGradient("bn/avg_mean"), ConfigError);
  EXPECT_TRUE(variables.Contains("bn/N"));
  EXPECT_FALSE(variables.Contains("x"));
}

TEST_F(VariablesTest, TrainParametersThatAreNotFrozen) {
  const Variables variables(graph_, *backend_, DType::kFloat32, {"conv/W", "bn/beta"});
  EXPECT_EQ(variables.frozen(), (std::set<std::string>{"bn/beta", "conv/W"}));
  EXPECT_FALSE(variables.Find("conv/W").trained);
  EXPECT_TRUE(variables.Find("conv/b").trained);
  EXPECT_FALSE(variables.Find("bn/avg_mean").trained);
  const auto make = [&](const std::string& name) {
    const Variables unused(graph_, *backend_, DType::kFloat32, {name});
  };
  EXPECT_THROW(make("conv/w"), ConfigError);
  EXPECT_THROW(make("bn/avg_mean"), ConfigError);
}

TEST_F(VariablesTest, GiveBackWhatTheyHadWhenMemoryRunsOut) {
  for (const int works : {0, 1}) {
    ShortBackend short_backend(works);
    EXPECT_THROW(Variables(graph_, short_backend, DType::kFloat32), DeviceError);
    EXPECT_EQ(short_backend.blocks(), 0) << works;
  }
  Variables variables(graph_, *backend_, DType::kFloat32);
  ShortBackend short_backend(1);
  EXPECT_THROW(Updater(variables, short_backend, MakeAdam({}), {}), DeviceError);
  EXPECT_EQ(short_backend.blocks(), 0);
}

}  // namespace
}  // namespace lockstep
