// The reproducible mode: the same bits whatever runs the lanes.
#include "engine/train/lanes.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "engine/graph/layers.h"
#include "engine/optim/updater.h"
#include "engine/train/network.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

constexpr int64_t kClasses = 5;

// Convolutions, batch norm, dropout, pooling and a linear layer, on 7x9 pictures of 3 channels.
std::unique_ptr<Graph> MakeNetwork() {
  auto graph = std::make_unique<Graph>();
  Var h = graph->Input("x", {Shape({3, 7, 9}), DType::kFloat32});
  h = Relu(BatchNorm(Conv2d(h, {.out_channels = 8, .pad_h = 1, .pad_w = 1, .bias = false}, "c1"),
                     {}, "bn1"));
  h = Dropout(h, 0.3, "drop");
  h = Relu(BatchNorm(Conv2d(h, {.out_channels = 16, .pad_h = 1, .pad_w = 1}, "c2"), {}, "bn2"));
  h = Linear(MaxPool2d(h, {.cover_all = true}), {.out = kClasses}, "fc");
  graph->SetOutput(h);
  graph->SetLoss(SoftmaxCrossEntropy(h, graph->Input("t", {Shape({}), DType::kInt32})));
  return graph;
}

struct Data {
  explicit Data(int64_t rows_wanted, unsigned seed = 7) : rows(rows_wanted) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    x = Tensor(DType::kFloat32, Shape({rows, 3, 7, 9}));
    t = Tensor(DType::kInt32, Shape({rows}));
    for (float& value : x.values<float>()) value = normal(random);
    for (int32_t& label : t.values<int32_t>()) label = static_cast<int32_t>(random() % kClasses);
    ids.resize(static_cast<size_t>(rows));
    std::iota(ids.begin(), ids.end(), 100);
  }
  Batch batch(int64_t first, int64_t count) const {
    return {.x = x.values<float>().data() + first * x.shape().row_size(),
            .labels = t.values<int32_t>().data() + first,
            .ids = std::span(ids).subspan(static_cast<size_t>(first), static_cast<size_t>(count)),
            .rows = count};
  }

  int64_t rows;
  Tensor x, t;
  std::vector<int64_t> ids;
};

struct Trained {
  std::vector<float> weights;  // all parameters and states
  double loss = 0.0;           // of the last step
};

std::vector<float> AllValues(const Variables& variables) {
  std::vector<float> all;
  for (const Variables::Entry& entry : variables.entries()) {
    if (entry.type.dtype != DType::kFloat32) continue;
    const Tensor tensor = variables.Get(entry.name);
    all.insert(all.end(), tensor.values<float>().begin(), tensor.values<float>().end());
  }
  return all;
}

Trained Train(int threads, const NetworkOptions& options, const std::vector<int64_t>& batches) {
  const auto backend = MakeCpuBackend(threads);
  const auto graph = MakeNetwork();
  Network network(*graph, *backend, options);
  Updater updater(network.variables(), *backend, MakeMomentum(0.9), {.weight_decay = 5e-4});
  const Data data(std::accumulate(batches.begin(), batches.end(), int64_t{0}));
  Trained result;
  int64_t first = 0;
  for (const int64_t rows : batches) {
    const LossSums sums = network.Train(data.batch(first, rows));
    EXPECT_EQ(sums.count, rows);
    updater.Update(sums.count, 0.05);
    result.loss = sums.loss / static_cast<double>(sums.count);
    first += rows;
  }
  result.weights = AllValues(network.variables());
  return result;
}

class LaneNormTest : public testing::TestWithParam<LaneNorm> {};

TEST_P(LaneNormTest, BitsDoNotDependOnThreads) {
  const NetworkOptions options{.seed = 3, .lanes = 4, .lane_norm = GetParam()};
  const std::vector<int64_t> batches{33, 33, 33, 10, 1};
  const Trained one = Train(1, options, batches);
  for (const int threads : {2, 3, 5}) {
    const Trained other = Train(threads, options, batches);
    EXPECT_EQ(one.weights, other.weights) << threads << " threads";
    EXPECT_EQ(one.loss, other.loss);
  }
}

INSTANTIATE_TEST_SUITE_P(Norms, LaneNormTest, testing::Values(LaneNorm::kSync, LaneNorm::kLane),
                         [](const auto& info) {
                           return info.param == LaneNorm::kSync ? "Sync" : "Lane";
                         });

// With statistics of the whole batch the lanes compute what one batch does, up to rounding.
TEST(Lanes, SyncNormAgreesWithTheWholeBatch) {
  const std::vector<int64_t> batches{24, 24, 24};
  const Trained whole = Train(1, {.seed = 3, .exact_math = true}, batches);
  const Trained lanes = Train(1, {.seed = 3, .lanes = 5, .exact_math = true}, batches);
  ASSERT_EQ(whole.weights.size(), lanes.weights.size());
  for (size_t i = 0; i < whole.weights.size(); ++i) {
    EXPECT_NEAR(whole.weights[i], lanes.weights[i], 2e-4F * (1.0F + std::abs(whole.weights[i])));
  }
  EXPECT_NEAR(whole.loss, lanes.loss, 1e-5);
}

// Validation values are in the log and in checkpoints: they too must not depend on threads.
TEST(Lanes, EvaluationDoesNotDependOnThreads) {
  const auto graph = MakeNetwork();
  const Data data(37);
  std::vector<double> losses;
  for (const int threads : {1, 2, 3, 5}) {
    const auto backend = MakeCpuBackend(threads);
    Network network(*graph, *backend, {.seed = 3, .lanes = 4});
    const LossSums sums = network.Evaluate(data.batch(0, 37));
    EXPECT_EQ(sums.count, 37);
    losses.push_back(sums.loss);
  }
  EXPECT_EQ(losses, std::vector<double>(4, losses[0]));
  const auto backend = MakeCpuBackend(1);
  Network whole(*graph, *backend, {.seed = 3});
  EXPECT_NEAR(whole.Evaluate(data.batch(0, 37)).loss, losses[0], 1e-4 * losses[0]);
}

TEST(Lanes, NothingIsTimed) {
  const auto graph = MakeNetwork();
  const auto backend = MakeCpuBackend(2);
  Network network(*graph, *backend, {.seed = 3, .lanes = 4});
  const Data data(24);
  network.Prepare(Mode::kTrain, {{24}});
  network.Train(data.batch(0, 24));
  network.Evaluate(data.batch(0, 24));
  EXPECT_FALSE(network.algorithms().changed()) << network.algorithms().ToString();
}

class DivergedStepTest : public testing::TestWithParam<int> {};

TEST_P(DivergedStepTest, LeavesTheRunningStatistics) {
  const auto graph = MakeNetwork();
  const auto backend = MakeCpuBackend(2);
  Network network(*graph, *backend, {.seed = 3, .lanes = GetParam()});
  const Data data(16);
  network.Train(data.batch(0, 16));
  const std::vector<float> before = AllValues(network.variables());
  Batch batch = data.batch(0, 16);
  std::vector<float> bad(data.x.values<float>().begin(), data.x.values<float>().end());
  bad[bad.size() / 2] = std::nanf("");
  batch.x = bad.data();
  EXPECT_FALSE(std::isfinite(network.Train(batch).loss));
  EXPECT_EQ(AllValues(network.variables()), before);
}

INSTANTIATE_TEST_SUITE_P(Lanes, DivergedStepTest, testing::Values(0, 4),
                         testing::PrintToStringParamName());

TEST(Lanes, MoreLanesThanRowsUseOneRowEach) {
  const Trained few = Train(1, {.seed = 3, .lanes = 16}, {3});
  const Trained same = Train(2, {.seed = 3, .lanes = 16}, {3});
  EXPECT_EQ(few.weights, same.weights);
}

TEST(Lanes, AnErrorInALaneIsThatOfTheFirstOne) {
  const auto backend = MakeCpuBackend(2);
  const auto graph = MakeNetwork();
  Network network(*graph, *backend, {.lanes = 4});
  Data data(16);
  data.t.values<int32_t>()[9] = 99;
  data.t.values<int32_t>()[13] = 77;
  try {
    network.Train(data.batch(0, 16));
    FAIL() << "a label out of range was accepted";
  } catch (const FormatError& error) {
    EXPECT_NE(std::string(error.what()).find("99"), std::string::npos) << error.what();
  }
}

// One parameter and nothing else, to add to directly.
class GradientSumsTest : public testing::Test {
 protected:
  GradientSumsTest() : backend_(MakeCpuBackend(1)) {
    const Var x = graph_.Input("x", {Shape({3}), DType::kFloat32});
    graph_.SetOutput(Linear(x, {.out = 7, .bias = false}, "l"));
    variables_ = std::make_unique<Variables>(graph_, *backend_, DType::kFloat32);
    variables_->Initialize(1);
    id_ = graph_.Find("l/W");
  }
  std::vector<float> Draw(unsigned seed, float scale) const {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0F, scale);
    std::vector<float> values(21);
    for (float& value : values) value = normal(random);
    return values;
  }
  // Adds the lanes in this order, again after an overflow; what came out.
  std::vector<float> Sum(GradientSums& sums, const std::vector<std::vector<float>>& lanes) {
    for (int attempt = 0; attempt < 3; ++attempt) {
      sums.Begin();
      for (const auto& lane : lanes) sums.Add(id_, lane.data());
      const bool fits = !sums.Overflowed();
      if (fits) sums.Store();
      sums.UpdateExponents();
      attempts_ = attempt + 1;
      if (fits) break;
    }
    const Tensor gradient = variables_->GetGradient("l/W");
    return {gradient.values<float>().begin(), gradient.values<float>().end()};
  }

  Graph graph_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Variables> variables_;
  int id_ = -1;
  int attempts_ = 0;
};

TEST_F(GradientSumsTest, AnyOrderGivesTheSameBits) {
  std::vector<std::vector<float>> lanes;
  for (unsigned i = 0; i < 7; ++i) lanes.push_back(Draw(i, i == 3 ? 1e4F : 1e-3F));
  GradientSums forward(*variables_, *backend_, 7), backward(*variables_, *backend_, 7);
  const std::vector<float> first = Sum(forward, lanes);
  const std::vector<float> second = Sum(backward, {lanes.rbegin(), lanes.rend()});
  EXPECT_EQ(first, second);
}

TEST_F(GradientSumsTest, SumsAreExactToTheLastBitOfAFloat) {
  std::vector<std::vector<float>> lanes;
  for (unsigned i = 0; i < 5; ++i) lanes.push_back(Draw(i, 0.3F));
  GradientSums sums(*variables_, *backend_, 5);
  const std::vector<float> result = Sum(sums, lanes);
  for (size_t i = 0; i < result.size(); ++i) {
    double exact = 0.0;
    for (const auto& lane : lanes) exact += static_cast<double>(lane[i]);
    EXPECT_NEAR(result[i], exact, 1e-7 * (0.01 + std::abs(exact)));
  }
}

TEST_F(GradientSumsTest, AGrownGradientRepeatsTheStep) {
  GradientSums sums(*variables_, *backend_, 2);
  Sum(sums, {Draw(1, 1e-3F), Draw(2, 1e-3F)});
  EXPECT_EQ(attempts_, 2) << "the first step does not know the exponents";
  Sum(sums, {Draw(1, 2e-3F), Draw(2, 2e-3F)});
  EXPECT_EQ(attempts_, 1);
  const std::vector<float> large = Draw(3, 1e3F);
  const std::vector<float> result = Sum(sums, {large, std::vector<float>(21, 0.0F)});
  EXPECT_EQ(attempts_, 2);
  EXPECT_EQ(result, large);
}

TEST_F(GradientSumsTest, NamesAGradientThatIsNotFinite) {
  GradientSums sums(*variables_, *backend_, 2);
  sums.Begin();
  const std::vector<float> good = Draw(1, 1.0F);
  std::vector<float> bad = good;
  bad[20] = std::nanf("");
  sums.Add(id_, good.data());
  EXPECT_EQ(sums.NotFinite(), -1);
  sums.Add(id_, bad.data());
  ASSERT_GE(sums.NotFinite(), 0);
  EXPECT_EQ(variables_->entries()[static_cast<size_t>(sums.NotFinite())].name, "l/W");
  EXPECT_EQ(sums.RankOfNotFinite(), 0);
  sums.Begin();
  EXPECT_EQ(sums.NotFinite(), -1);
}

}  // namespace
}  // namespace lockstep
