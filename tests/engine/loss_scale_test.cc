// Dynamic loss scaling: what float16 needs to train.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "data/batch_iterator.h"
#include "data/synthetic.h"
#include "engine/graph/layers.h"
#include "engine/train/trainer.h"
#include "kernels/error.h"
#include "tests/engine/compare.h"

namespace lockstep {
namespace {

using testing::HasSubstr;

// A linear regression whose first errors are near `offset`.
class Scaled {
 public:
  explicit Scaled(float offset, LossScaling scaling = {}, DType compute = DType::kFloat16,
                  double rate = 0.01, std::unique_ptr<Optimizer> optimizer = MakeAdam())
      : source_(Samples(offset), {.batch_size = 8, .seed = 3, .shuffle = false}) {
    Var x = graph_.Input("x", {{4}, DType::kFloat32});
    x = Linear(Tanh(Linear(x, {.out = 6}, "l1")), {.out = 1}, "l2");
    graph_.SetLoss(MeanSquaredError(x, graph_.Input("t", {{1}, DType::kFloat32})));
    network_ = std::make_unique<Network>(
        graph_, *backend_,
        NetworkOptions{.compute_dtype = compute, .loss_scaling = scaling, .seed = 1});
    updater_ = std::make_unique<Updater>(network_->variables(), *backend_, std::move(optimizer),
                                         UpdateHooks{});
    trainer_ = std::make_unique<Trainer>(*network_, source_, *updater_, *schedule_, sync_,
                                         TrainerOptions{.epochs = 0, .learning_rate = rate});
  }

  LossScale scale() const { return network_->variables().GetLossScale(); }
  Tensor weights() const { return network_->variables().Get("l1/W").Clone(); }
  Trainer& trainer() { return *trainer_; }
  Updater& updater() { return *updater_; }

 private:
  static Dataset Samples(float offset) {
    const Dataset made = SyntheticDataset({4}, 0, 32, 1);
    Tensor labels(DType::kFloat32, {32, 1});
    for (float& label : labels.values<float>()) label = offset;
    return Dataset(made.features(), labels, {});
  }

  std::unique_ptr<Backend> backend_ = MakeCpuBackend(1);
  Graph graph_;
  DatasetSource source_;
  std::unique_ptr<Schedule> schedule_ = MakeConstantSchedule();
  LocalSync sync_;
  std::unique_ptr<Network> network_;
  std::unique_ptr<Updater> updater_;
  std::unique_ptr<Trainer> trainer_;
};

// Gradients near 2 * 16 * scale: float16 ends at 65504, so that scales of 2^11 and more overflow.
constexpr float kLarge = 16.0F;

TEST(LossScale, AStepThatOverflowsIsLeftOutAndTheScaleHalved) {
  Scaled job(kLarge);
  const Tensor start = job.weights();
  double scale = 65536.0;
  while (job.scale().scale > 2048.0) {
    EXPECT_EQ(job.scale().scale, scale);
    job.trainer().Step();
    EXPECT_EQ(job.updater().updates(), 0);
    EXPECT_TRUE(SameBits(job.weights(), start));
    EXPECT_EQ(job.updater().GetState("l1/W", "m").values<float>()[0], 0.0F);
    scale /= 2;
  }
  const int64_t left_out = job.scale().overflows;
  EXPECT_EQ(left_out, 5);
  EXPECT_EQ(job.trainer().clock().iteration, left_out);
  for (int i = 0; i < 3; ++i) job.trainer().Step();
  EXPECT_FALSE(SameBits(job.weights(), start));
  EXPECT_EQ(job.updater().updates() + job.scale().overflows, job.trainer().clock().iteration);
}

TEST(LossScale, DoublesBehindItsIntervalAndFindsItsLevelAgain) {
  Scaled job(kLarge, {.growth_interval = 4});
  for (int i = 0; i < 40; ++i) job.trainer().Step();
  // Up to where it overflows, and one below it again.
  EXPECT_GE(job.scale().scale, 512.0);
  EXPECT_LE(job.scale().scale, 8192.0);
  EXPECT_GT(job.scale().overflows, 6);
  EXPECT_GT(job.updater().updates(), 20);
}

// What is scaled up is scaled down: no overflow, no difference but rounding. (Adam would make the
// same of gradients that are not scaled down.)
TEST(LossScale, UpdatesAreThoseOfTheLossItself) {
  Scaled scaled(0.5F, {}, DType::kFloat16, 0.05, MakeSgd());
  Scaled plain(0.5F, {}, DType::kFloat32, 0.05, MakeSgd());
  const Tensor start = plain.weights();
  scaled.trainer().network().variables().SetLossScale({.scale = 1024.0});
  for (int i = 0; i < 20; ++i) {
    scaled.trainer().Step();
    plain.trainer().Step();
  }
  EXPECT_EQ(scaled.scale().overflows, 0);
  EXPECT_EQ(scaled.scale().scale, 1024.0);
  EXPECT_EQ(scaled.scale().good_steps, 20);
  const auto distance = [](const Tensor& a, const Tensor& b) {
    double largest = 0.0;
    for (size_t i = 0; i < a.values<float>().size(); ++i) {
      largest = std::max(largest, std::abs(double{a.values<float>()[i]} - b.values<float>()[i]));
    }
    return largest;
  };
  const double moved = distance(plain.weights(), start);
  EXPECT_GT(moved, 0.001);
  // Gradients are right to some roundings of 2^-11, and shrink while those do not.
  EXPECT_LT(distance(scaled.weights(), plain.weights()), 0x1p-4 * moved);
}

// Gradients near 2^-26, below the least number of float16, of which nothing is left without it.
TEST(LossScale, KeepsGradientsThatFloat16DoesNotHold) {
  const auto gradient = [](DType compute, double scale) {
    Scaled job(0.0F, {}, compute);
    if (compute == DType::kFloat16) {
      job.trainer().network().variables().SetLossScale({.scale = scale});
    }
    Variables& variables = job.trainer().network().variables();
    Tensor tiny = variables.Get("l2/W");
    for (float& w : tiny.values<float>()) w *= 0x1p-12F;
    variables.Set("l2/W", tiny);
    job.trainer().Step();
    double norm = 0.0;
    const Tensor gradient = variables.GetGradient("l1/W");
    for (const float g : gradient.values<float>()) norm += double{g} * double{g};
    return std::sqrt(norm) / scale;
  };
  const double wanted = gradient(DType::kFloat32, 1.0);
  EXPECT_NEAR(gradient(DType::kFloat16, 65536.0), wanted, 0.05 * wanted);
  EXPECT_LT(gradient(DType::kFloat16, 1.0), 0.5 * wanted);
}

TEST(LossScale, SurvivesAResumeBitForBit) {
  Scaled unbroken(kLarge, {.growth_interval = 3});
  for (int i = 0; i < 7; ++i) unbroken.trainer().Step();
  CheckpointContents state = unbroken.trainer().State();
  for (auto& [name, tensor] : state.tensors) tensor = tensor.Clone();
  Scaled resumed(kLarge, {.growth_interval = 3});
  resumed.trainer().Restore(state);
  EXPECT_EQ(resumed.scale().scale, unbroken.scale().scale);
  for (int i = 0; i < 15; ++i) {
    unbroken.trainer().Step();
    resumed.trainer().Step();
    ASSERT_EQ(resumed.scale().scale, unbroken.scale().scale) << i;
    ASSERT_EQ(resumed.updater().updates(), unbroken.updater().updates()) << i;
    ASSERT_TRUE(SameBits(resumed.weights(), unbroken.weights())) << i;
  }
  EXPECT_EQ(resumed.scale().overflows, unbroken.scale().overflows);
}

std::string RestoreError(Scaled& job, const CheckpointContents& state) {
  try {
    job.trainer().Restore(state);
  } catch (const Error& error) {
    return std::to_string(static_cast<int>(error.code())) + ": " + error.what();
  }
  return "";
}

TEST(LossScale, OfACheckpointIsANumberThatTrainingLeaves) {
  Scaled job(kLarge);
  job.trainer().Step();
  CheckpointContents state = job.trainer().State();
  for (auto& [name, tensor] : state.tensors) tensor = tensor.Clone();
  for (const double bad : {0.0, -1.0, 1e300, double{INFINITY}}) {
    state.values.at("optimizer/loss_scale") = bad;
    EXPECT_THAT(RestoreError(job, state), HasSubstr("65: the checkpoint's value")) << bad;
  }
  for (const double good : {0x1p-14, 0x1p127}) {
    state.values.at("optimizer/loss_scale") = good;
    EXPECT_EQ(RestoreError(job, state), "");
    EXPECT_EQ(job.scale().scale, good);
  }
}

TEST(LossScale, ACheckpointGoesOnInTheTypeItWasComputedIn) {
  Scaled half(kLarge), other(kLarge, {}, DType::kBfloat16);
  CheckpointContents state = half.trainer().State();
  for (auto& [name, tensor] : state.tensors) tensor = tensor.Clone();
  EXPECT_THAT(RestoreError(other, state),
              HasSubstr("76: the checkpoint was computed in float16, this job computes in "
                        "bfloat16"));
}

// Gradients near 1e12, which float32 holds and float16 at no scale; of a job that begins at
// `scale`.
std::string ErrorFrom(double scale) {
  Scaled job(1e12F);
  job.trainer().network().variables().SetLossScale({.scale = scale});
  try {
    for (int i = 0; i < 100; ++i) job.trainer().Step();
  } catch (const Error& error) {
    return std::to_string(static_cast<int>(error.code())) + ": " + error.what();
  }
  return "";
}

TEST(LossScale, AJobWithoutAnyGoodStepEnds) {
  EXPECT_THAT(ErrorFrom(65536.0), HasSubstr("65: gradients are not finite at iteration 31, epoch 8 "
                                            "even at a loss scale of 6.1"));
  // The last batch of an epoch.
  EXPECT_THAT(ErrorFrom(0x1p-11), HasSubstr("at iteration 4, epoch 1 even"));
}

TEST(LossScale, DoesNotGoWithLanes) {
  Graph graph;
  const Var x = Linear(graph.Input("x", {{4}, DType::kFloat32}), {.out = 1}, "l");
  graph.SetLoss(MeanSquaredError(x, graph.Input("t", {{1}, DType::kFloat32})));
  const auto backend = MakeCpuBackend(1);
  EXPECT_THROW(Network(graph, *backend, {.compute_dtype = DType::kFloat16, .lanes = 2}),
               ConfigError);
}

}  // namespace
}  // namespace lockstep
