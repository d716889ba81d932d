// Ranks that compute in 16 bits.
#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>

#include "tests/comm/training_job.h"

namespace lockstep::testing {
namespace {

using ::testing::HasSubstr;

JobOptions JobIn(DType compute) {
  JobOptions options{.network = {.compute_dtype = compute, .seed = 5, .exact_math = true}};
  return options;
}

// What a job begins with: without a label it is not trained.
std::vector<double> StartOf(JobOptions options) {
  options.iterations = 1;
  options.change = [](Tensor*, Tensor* labels) {
    std::fill(labels->values<int32_t>().begin(), labels->values<int32_t>().end(), -1);
  };
  return RunJob(options).values;
}

// By how much of the way from the start to `whole`.
double PartBetween(const JobResult& found, const JobResult& whole, const JobOptions& options) {
  return Difference(found.values, whole.values) / Difference(StartOf(options), whole.values);
}

class HalfTraining : public ::testing::TestWithParam<DType> {};

// Sums in another order differ in their last bits, by which a copy of a weight may round to the
// next of 16 bits.
TEST_P(HalfTraining, FollowsOneRankOnTheWholeBatch) {
  const JobOptions options = JobIn(GetParam());
  const JobResult whole = RunJob(options);
  const std::vector<JobResult> ranks = RunJobOnThreads(options, 3);
  for (const JobResult& rank : ranks) EXPECT_EQ(rank.weights_hash, ranks[0].weights_hash);
  EXPECT_LT(PartBetween(ranks[0], whole, options), 0.1);
}

TEST_P(HalfTraining, SendsGradientsOf16Bits) {
  JobOptions options = JobIn(GetParam());
  const JobResult whole = RunJob(options);
  options.allreduce.wire = WireType::kFloat16;
  options.allreduce.error_feedback = GetParam() != DType::kFloat16;
  const std::vector<JobResult> ranks = RunJobOnThreads(options, 2);
  EXPECT_EQ(ranks[0].weights_hash, ranks[1].weights_hash);
  EXPECT_LT(PartBetween(ranks[0], whole, options), 0.1);
}

INSTANTIATE_TEST_SUITE_P(In, HalfTraining, ::testing::Values(DType::kBfloat16, DType::kFloat16),
                         [](const auto& dtype) { return std::string(Name(dtype.param)); });

// A scale at which gradients overflow on some ranks or all: who would go on alone would part from
// the others.
TEST(HalfTrainingSteps, AreLeftOutByAllRanksAlike) {
  JobOptions options = JobIn(DType::kFloat16);
  std::atomic<int> started = 0;
  options.epochs = 4;
  options.prepare = [&](Trainer& trainer) {
    ++started;
    trainer.network().variables().SetLossScale({.scale = 0x1p21});
  };
  const std::vector<JobResult> ranks = RunJobOnThreads(options, 3);
  EXPECT_EQ(started, 3);
  const LossScale scale = ranks[0].loss_scale.value();
  EXPECT_GT(scale.overflows, 0);
  EXPECT_GT(ranks[0].updates, 0);
  EXPECT_EQ(ranks[0].updates + scale.overflows, ranks[0].clock.iteration);
  for (const JobResult& rank : ranks) {
    EXPECT_EQ(rank.weights_hash, ranks[0].weights_hash);
    EXPECT_EQ(rank.loss_scale.value().scale, scale.scale);
    EXPECT_EQ(rank.loss_scale.value().overflows, scale.overflows);
    EXPECT_EQ(rank.updates, ranks[0].updates);
  }
}

TEST(HalfTrainingLanes, GiveTheSameBitsOnAnyNumberOfRanks) {
  JobOptions options = JobIn(DType::kBfloat16);
  options.pictures = true;
  options.network.lanes = 6;
  const JobResult one = RunJob(options);
  for (const int ranks : {2, 3}) {
    for (const JobResult& rank : RunJobOnThreads(options, ranks)) {
      EXPECT_EQ(rank.weights_hash, one.weights_hash) << ranks;
    }
  }
}

TEST(HalfTrainingErrors, GradientsAStepLateHaveNoLossScale) {
  JobOptions options = JobIn(DType::kFloat16);
  options.allreduce.double_buffering = true;
  EXPECT_THAT(ErrorOf(options, 2), HasSubstr("64: double buffering uses gradients a step late"));
}

// What is left of the gradient of one scale is no part of the gradient of another.
TEST(HalfTrainingErrors, WhatIsLeftOfAGradientHasNoLossScale) {
  JobOptions options = JobIn(DType::kFloat16);
  for (const WireType wire : {WireType::kFloat16, WireType::kBfloat16}) {
    options.allreduce.wire = wire;
    options.allreduce.error_feedback = true;
    EXPECT_THAT(ErrorOf(options, 2), HasSubstr("64: error feedback adds to a gradient"));
    options.allreduce.error_feedback = false;
    EXPECT_EQ(ErrorOf(options, 2), "");
  }
  options.allreduce = {.error_feedback = true};  // of a wire as wide as they are nothing is left
  EXPECT_EQ(ErrorOf(options, 2), "");
}

}  // namespace
}  // namespace lockstep::testing
