// Batches that are run in parts, one after the other.
#include "engine/train/accumulation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
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

constexpr int64_t kRows = 37, kFeatures = 12;

std::unique_ptr<Graph> MakeNetwork(bool norm = false) {
  auto graph = std::make_unique<Graph>();
  Var h = graph->Input("x", {Shape({3, 2, 2}), DType::kFloat32});
  h = Conv2d(h, {.out_channels = 6, .pad_h = 1, .pad_w = 1}, "c");
  if (norm) h = BatchNorm(h, {}, "bn");
  h = Linear(Dropout(Relu(h), 0.3, "drop"), {.out = 4}, "fc");
  graph->SetOutput(h);
  graph->SetLoss(SoftmaxCrossEntropy(h, graph->Input("t", {Shape({}), DType::kInt32})));
  return graph;
}

// A convolution with max pooling behind it, which are one line.
std::unique_ptr<Graph> MakePooledNetwork() {
  auto graph = std::make_unique<Graph>();
  Var h = graph->Input("x", {Shape({3, 2, 2}), DType::kFloat32});
  h = MaxPool2d(Conv2d(h, {.out_channels = 6, .pad_h = 1, .pad_w = 1}, "c"), {});
  h = Linear(Dropout(Relu(h), 0.3, "drop"), {.out = 4}, "fc");
  graph->SetOutput(h);
  graph->SetLoss(SoftmaxCrossEntropy(h, graph->Input("t", {Shape({}), DType::kInt32})));
  return graph;
}

class AccumulationTest : public testing::Test {
 protected:
  AccumulationTest() : x_(kRows * kFeatures), labels_(kRows), ids_(kRows) {
    std::mt19937 random(5);
    std::normal_distribution<float> normal;
    for (float& value : x_) value = normal(random);
    for (int32_t& label : labels_) label = static_cast<int32_t>(random() % 4);
    std::iota(ids_.begin(), ids_.end(), 100);
  }
  Batch batch(int64_t rows = kRows) const {
    return {.x = x_.data(),
            .labels = labels_.data(),
            .ids = std::span(ids_).first(static_cast<size_t>(rows)),
            .rows = rows};
  }
  static std::vector<float> Gradients(const Network& network) {
    std::vector<float> all;
    for (const Variables::Entry& entry : const_cast<Network&>(network).variables().entries()) {
      if (entry.role != Role::kParameter) continue;
      const float* values = static_cast<const float*>(entry.gradient);
      all.insert(all.end(), values, values + entry.type.shape.size());
    }
    return all;
  }
  static void ExpectNear(const std::vector<float>& a, const std::vector<float>& b) {
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-5F * (1.0F + std::abs(b[i])));
  }
  static NetworkOptions InParts(int parts, int lanes = 0) {
    return {.seed = 3, .lanes = lanes, .accumulate = parts, .exact_math = true};
  }

  std::vector<float> x_;
  std::vector<int32_t> labels_;
  std::vector<int64_t> ids_;
  std::unique_ptr<Backend> backend_ = MakeCpuBackend(2);
};

// Uneven parts, more parts than rows, one row.
TEST_F(AccumulationTest, GradientsAndSumsAreThoseOfTheWholeBatch) {
  for (const auto& graph : {std::shared_ptr(MakeNetwork()), std::shared_ptr(MakePooledNetwork())}) {
    Network whole(*graph, *backend_, InParts(1));
    for (const int parts : {2, 3, 5, 37}) {
      Network network(*graph, *backend_, InParts(parts));
      for (const int64_t rows : {kRows, int64_t{4}, int64_t{1}}) {
        const LossSums wanted = whole.Train(batch(rows));
        for (int again = 0; again < 2; ++again) {  // nothing of a step is left to the next
          const LossSums sums = network.Train(batch(rows));
          EXPECT_NEAR(sums.loss, wanted.loss, 1e-5 * wanted.loss);
          EXPECT_EQ(sums.count, rows);
          EXPECT_EQ(sums.metric, wanted.metric);
          ExpectNear(Gradients(network), Gradients(whole));
        }
        EXPECT_NEAR(network.Evaluate(batch(rows)).loss, whole.Evaluate(batch(rows)).loss, 1e-4);
      }
    }
  }
}

TEST_F(AccumulationTest, APartWhoseLabelsAreIgnoredAddsNothing) {
  const auto graph = MakeNetwork();
  for (const int64_t begin : {0, 12, 25}) {
    const std::vector<int32_t> labels = labels_;
    std::fill_n(labels_.begin() + begin, 12, -1);
    Network whole(*graph, *backend_, InParts(1)), network(*graph, *backend_, InParts(3));
    EXPECT_EQ(whole.Train(batch()).count, kRows - 12);
    EXPECT_EQ(network.Train(batch()).count, kRows - 12);
    ExpectNear(Gradients(network), Gradients(whole));
    labels_ = labels;
  }
}

// A step whose only rows are in its last part, as a rank's few rows of a tail batch may be.
TEST_F(AccumulationTest, WhatAStepBeforeKeptIsNotOfThisOne) {
  const auto graph = MakeNetwork();
  Network network(*graph, *backend_, InParts(1));
  network.Train(batch());
  const std::vector<float> once = Gradients(network);
  std::vector<float> twice = once;
  for (float& value : twice) value *= 2.0F;
  Accumulation accumulation(network.variables(), *backend_);
  accumulation.Begin();
  network.Train(batch(), accumulation.Keep());
  network.Train(batch(), accumulation.Finish(nullptr));
  ExpectNear(Gradients(network), twice);
  accumulation.Begin();
  network.Train(batch(), accumulation.Finish(nullptr));
  ExpectNear(Gradients(network), once);
}

// They are final while the last part's backward pass still runs: a sum over ranks may start.
TEST_F(AccumulationTest, GradientsAreToldOnceAndComplete) {
  const auto graph = MakeNetwork();
  Network whole(*graph, *backend_, InParts(1)), network(*graph, *backend_, InParts(4));
  whole.Train(batch());
  const auto* wanted = static_cast<const float*>(whole.variables().gradients());
  const auto* found = static_cast<const float*>(network.variables().gradients());
  std::vector<int64_t> told;
  int64_t done = 0;
  network.Train(batch(), [&](int64_t end) {
    told.push_back(end);
    for (; done < end; ++done) EXPECT_NEAR(found[done], wanted[done], 1e-4F);
  });
  EXPECT_EQ(done, network.variables().flat_size());
  EXPECT_GT(told.size(), 1U);
}

TEST_F(AccumulationTest, RunningStatisticsFollowEachPart) {
  const auto graph = MakeNetwork(true);
  Network network(*graph, *backend_, InParts(2)), twice(*graph, *backend_, InParts(1));
  network.Train(batch(36));
  const size_t x_bytes = kFeatures * sizeof(float);
  twice.Train(RowsOf(batch(36), {0, 18}, x_bytes, sizeof(int32_t)));
  twice.Train(RowsOf(batch(36), {18, 36}, x_bytes, sizeof(int32_t)));
  for (const char* name : {"bn/avg_mean", "bn/avg_var"}) {
    const Tensor found = network.variables().Get(name), wanted = twice.variables().Get(name);
    ExpectNear({found.values<float>().begin(), found.values<float>().end()},
               {wanted.values<float>().begin(), wanted.values<float>().end()});
  }
}

TEST_F(AccumulationTest, ALossThatIsNotFiniteLeavesTheRunningStatistics) {
  const auto graph = MakeNetwork(true);
  Network network(*graph, *backend_, InParts(3));
  const Tensor before = network.variables().Get("bn/avg_mean").Clone();
  x_[kFeatures * 20] = std::nanf("");
  EXPECT_FALSE(std::isfinite(network.Train(batch()).loss));
  EXPECT_EQ(std::memcmp(before.data(), network.variables().Find("bn/avg_mean").data, 24), 0);
}

// Lanes are micro-batches already; in how many groups they run leaves no trace.
TEST_F(AccumulationTest, LanesGiveTheSameBits) {
  for (const bool norm : {false, true}) {
    const auto graph = MakeNetwork(norm);
    for (const int parts : {2, 3, 8, 20}) {
      Network whole(*graph, *backend_, InParts(1, 8));
      Network network(*graph, *backend_, InParts(parts, 8));
      for (const int64_t rows : {kRows, int64_t{3}}) {
        const LossSums wanted = whole.Train(batch(rows)), sums = network.Train(batch(rows));
        EXPECT_EQ(sums.loss, wanted.loss);
        EXPECT_EQ(Gradients(network), Gradients(whole)) << parts << " parts";
        EXPECT_EQ(network.Evaluate(batch(rows)).loss, whole.Evaluate(batch(rows)).loss);
      }
    }
  }
}

TEST_F(AccumulationTest, TakesTheMemoryOfOnePart) {
  Graph graph;
  Var h = Flatten(graph.Input("x", {Shape({3, 2, 2}), DType::kFloat32}));
  h = Linear(Relu(Linear(h, {.out = 500}, "wide")), {.out = 4}, "fc");
  graph.SetOutput(h);
  graph.SetLoss(SoftmaxCrossEntropy(h, graph.Input("t", {Shape({}), DType::kInt32})));
  for (const int lanes : {0, 8}) {
    Network whole(graph, *backend_, InParts(1, lanes)), parts(graph, *backend_, InParts(4, lanes));
    for (Network* network : {&whole, &parts}) {
      network->Train(batch(32));
      network->Evaluate(batch(32));
    }
    EXPECT_LT(parts.activation_bytes(), whole.activation_bytes() / 3) << lanes << " lanes";
  }
}

TEST_F(AccumulationTest, MorePartsThanSamplesAreRefused) {
  const auto graph = MakeNetwork();
  const auto error = [&](int parts, int64_t samples) -> std::string {
    try {
      Network(*graph, *backend_, InParts(parts)).RequireParts(samples);
    } catch (const ConfigError& refused) {
      return refused.what();
    }
    return "";
  };
  EXPECT_EQ(error(4, 4), "");
  EXPECT_EQ(error(1, 0), "");
  EXPECT_EQ(error(5, 4),
            "--accumulate 5 on 1 process makes 5 parts of a batch of 4 samples; give fewer parts "
            "or a larger --batch-size");
  EXPECT_EQ(error(0, 4), "--accumulate must be at least 1");
}

}  // namespace
}  // namespace lockstep
