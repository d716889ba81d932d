// Predictions from models that the real Chainer saved, against its own.
#include <gtest/gtest.h>

#include <algorithm>

#include "data/npy.h"
#include "models/describe.h"
#include "models/model.h"
#include "models/model_file.h"
#include "tests/engine/compare.h"
#include "tests/engine/network_runner.h"
#include "tests/models/chainer_networks.h"
#include "tests/models/fixtures.h"

namespace lockstep {
namespace {

constexpr double kTolerance = 1e-4;

Tensor ReadNpy(const std::string& path) { return ParseNpy(InputFile::Open(path).ReadAll(), path); }

Tensor SoftmaxOf(TestDevice& device, const Tensor& logits) {
  Tensor y(logits.dtype(), logits.shape());
  device.backend->softmax().Forward(logits.dtype(), logits.shape()[0], logits.shape()[1],
                                    logits.data(), y.data());
  return y;
}

// Relative to the largest logit of the row: logits near zero have no relative accuracy.
double WorstOfRows(const Tensor& found, const Tensor& wanted) {
  double worst = 0.0;
  const int64_t columns = wanted.shape()[1];
  for (int64_t row = 0; row < wanted.shape()[0]; ++row) {
    double largest = 0.0, difference = 0.0;
    for (int64_t c = 0; c < columns; ++c) {
      const auto at = static_cast<size_t>(row * columns + c);
      const double w = wanted.values<float>()[at], f = found.values<float>()[at];
      largest = std::max(largest, std::abs(w));
      difference = std::max(difference, std::isnan(f) ? INFINITY : std::abs(f - w));
    }
    worst = std::max(worst, difference / largest);
  }
  return worst;
}

void ExpectChainersPredictions(const Graph& graph, const std::string& stem, DType dtype) {
  SCOPED_TRACE(stem + " " + std::string(Name(dtype)));
  TestDevice device;
  NetworkRunner runner(device, graph, dtype);
  const LoadNpzReport report = LoadModelNpz(stem + "_model.npz", runner.variables);
  EXPECT_EQ(report.extra, 0);
  const Tensor x = ReadNpy(stem + "_input.npy");
  for (const bool fuse : {false, true}) {
    const Tensor logits = runner.Predict(x, fuse);
    EXPECT_LE(WorstOfRows(logits.Cast(DType::kFloat32), ReadNpy(stem + "_logits.npy")), kTolerance)
        << (fuse ? "fused" : "plain");
    EXPECT_LE(WorstOfRows(SoftmaxOf(device, logits).Cast(DType::kFloat32),
                          ReadNpy(stem + "_softmax.npy")),
              kTolerance)
        << (fuse ? "fused" : "plain");
  }
}

void ExpectChainersPredictions(const Graph& graph, const std::string& model) {
  const std::string stem = model.substr(0, model.size() - std::string("_model.npz").size());
  ExpectChainersPredictions(graph, stem, DType::kFloat32);
  ExpectChainersPredictions(graph, stem, DType::kFloat64);
}

class ChainerModel : public testing::TestWithParam<const char*> {};

TEST_P(ChainerModel, BareFilePredictsAsChainer) {
  LOCKSTEP_NEEDS_CHAINER(model, GetParam());
  const ModelDescription description = DescribeModelNpz(model);
  ASSERT_TRUE(description.spec) << description.reason;
  ExpectChainersPredictions(*BuildModel(*description.spec).graph, model);
}

INSTANTIATE_TEST_SUITE_P(Files, ChainerModel,
                         testing::Values("mlp_100_10_model.npz",
                                         "mlp_100_10_uncompressed_model.npz",
                                         "vgg_w0125_model.npz"),
                         [](const auto& info) {
                           const std::string file = info.param;
                           return file.substr(0, file.rfind('.'));
                         });

TEST(ChainerModel, NetworkOfLayersPredictsAsChainer) {
  LOCKSTEP_NEEDS_CHAINER(model, "smallconv_model.npz");
  const std::string stem = model.substr(0, model.size() - std::string("_model.npz").size());
  const Shape x = ReadNpy(stem + "_input.npy").shape();
  ExpectChainersPredictions(*SmallConv({x[1], x[2], x[3]}), model);
}

}  // namespace
}  // namespace lockstep
