// Training with gradients that travel in 16 bits, or are used a step late.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "engine/graph/layers.h"
#include "engine/train/checkpoint_file.h"
#include "kernels/error.h"
#include "tests/comm/ranks.h"
#include "tests/comm/training_job.h"

namespace lockstep::testing {
namespace {

std::string StateOf(Trainer& trainer) {
  trainer.sync().state()->Collect(trainer.network().variables());
  return SerializeCheckpoint(trainer.State());
}

CheckpointContents Parse(const std::string& bytes) {
  return ParseCheckpoint(std::as_bytes(std::span(bytes)), "state");
}

// Keeps the state behind a step, on rank 0.
class KeepState : public Extension {
 public:
  KeepState(int64_t at, std::string* kept) : at_(at), kept_(kept) {}
  std::string name() const override { return "keep"; }
  Trigger trigger() const override { return Trigger::Iterations(at_); }
  void Invoke(Trainer& trainer) override {
    if (trainer.clock().iteration != at_) return;
    std::string state = StateOf(trainer);
    if (trainer.network().group().rank() == 0) *kept_ = std::move(state);
  }

 private:
  int64_t at_;
  std::string* kept_;
};

// All ranks' residuals in a state added up.
std::vector<double> ResidualsIn(const std::string& bytes) {
  std::vector<double> sum;
  for (const auto& [name, tensor] : Parse(bytes).tensors) {
    if (!name.starts_with("sync/residual/")) continue;
    const Tensor values = tensor.Cast(DType::kFloat64);
    sum.resize(static_cast<size_t>(values.size()));
    std::transform(sum.begin(), sum.end(), values.values<double>().begin(), sum.begin(),
                   std::plus<double>());
  }
  return sum;
}

struct Way {
  const char* name;
  AllreduceOptions options;
};

class LateAndNarrow : public ::testing::TestWithParam<Way> {
 protected:
  JobOptions options() const { return {.epochs = 3, .allreduce = GetParam().options}; }
  // The state behind step `at` of the job on so many ranks.
  std::string StateBehind(int64_t at, int ranks) const {
    std::string state;
    JobOptions job = options();
    job.iterations = at;
    job.prepare = [&](Trainer& trainer) {
      trainer.Extend(std::make_unique<KeepState>(at, &state));
    };
    RunJobOnThreads(job, ranks);
    return state;
  }
  JobOptions GoingOnFrom(const std::string& state) const {
    JobOptions job = options();
    job.prepare = [&](Trainer& trainer) { trainer.Restore(Parse(state)); };
    return job;
  }
};

TEST_P(LateAndNarrow, ResumedOnAsManyRanksGivesTheSameBits) {
  for (const int ranks : {1, 2, 3}) {
    const std::vector<JobResult> whole = RunJobOnThreads(options(), ranks);
    for (const int64_t at : {1, 4}) {
      const std::string state = StateBehind(at, ranks);
      for (const JobResult& rank : RunJobOnThreads(GoingOnFrom(state), ranks)) {
        EXPECT_EQ(rank.values, whole[0].values) << ranks << " ranks, from step " << at;
      }
    }
  }
}

// A state that is kept on the way leaves no trace.
TEST_P(LateAndNarrow, KeepingAStateChangesNothing) {
  std::string state;
  JobOptions job = options();
  job.prepare = [&](Trainer& trainer) { trainer.Extend(std::make_unique<KeepState>(4, &state)); };
  EXPECT_EQ(RunJobOnThreads(job, 2)[1].values, RunJobOnThreads(options(), 2)[0].values);
  EXPECT_FALSE(state.empty());
}

// What others have brought together behind an earlier step is none of a later state's.
TEST_P(LateAndNarrow, AStateThatNobodyCollectedForHasNothingOfTheSync) {
  const auto of_sync = [](const CheckpointContents& contents) {
    const auto is = [](const auto& one) { return one.first.starts_with("sync/"); };
    return std::any_of(contents.values.begin(), contents.values.end(), is) ||
           std::any_of(contents.tensors.begin(), contents.tensors.end(), is);
  };
  std::string collected;
  JobOptions job = options();
  job.prepare = [&](Trainer& trainer) {
    for (int step = 0; step < 2; ++step) trainer.Step();
    std::string state = StateOf(trainer);
    trainer.Step();
    EXPECT_FALSE(of_sync(trainer.State()));
    if (trainer.network().group().rank() == 0) collected = std::move(state);
  };
  RunJobOnThreads(job, 2);
  EXPECT_TRUE(of_sync(Parse(collected)));
}

TEST_P(LateAndNarrow, ResumedOnOtherRanksGoesOn) {
  const std::string state = StateBehind(4, 2);
  const JobResult whole = RunJobOnThreads(options(), 2)[0];
  const double rounding = GetParam().options.wire ? 1e-2 : 1e-6;
  for (const int ranks : {1, 3}) {
    const std::vector<JobResult> all = RunJobOnThreads(GoingOnFrom(state), ranks);
    for (const JobResult& rank : all) {
      EXPECT_EQ(rank.values, all[0].values);
      EXPECT_LT(Difference(rank.values, whole.values), rounding);
    }
  }
}

TEST_P(LateAndNarrow, ResidualsKeepTheirSumOnOtherRanks) {
  if (!GetParam().options.wire) return;
  const std::string state = StateBehind(4, 3);
  const std::vector<double> wanted = ResidualsIn(state);
  ASSERT_GT(*std::max_element(wanted.begin(), wanted.end()), 0.0);
  for (const int ranks : {1, 2, 3}) {
    std::string again;
    JobOptions job = options();
    job.iterations = 4;  // which are done
    job.prepare = [&](Trainer& trainer) {
      trainer.Restore(Parse(state));
      std::string mine = StateOf(trainer);
      if (trainer.network().group().rank() == 0) again = mine;
    };
    RunJobOnThreads(job, ranks);
    const std::vector<double> found = ResidualsIn(again);
    ASSERT_EQ(found.size(), wanted.size());
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_NEAR(found[i], wanted[i], 1e-7 * std::abs(wanted[i]));
    }
  }
}

// They are brought together in pieces of 1 MiB.
TEST_P(LateAndNarrow, ResidualsOfSeveralPiecesArriveAll) {
  if (!GetParam().options.wire) return;
  JobOptions wide = options();
  wide.allreduce.bucket_bytes = 0;
  wide.iterations = 4;
  wide.graph = [] {
    auto graph = std::make_unique<Graph>();
    const Var x = graph->Input("x", {Shape({21}), DType::kFloat32});
    const Var y = Linear(Relu(Linear(x, {.out = 25'000}, "l1")), {.out = 5}, "l2");
    graph->SetOutput(y);
    graph->SetLoss(SoftmaxCrossEntropy(y, graph->Input("t", {Shape({}), DType::kInt32})));
    return graph;
  };
  const JobResult whole = RunJobOnThreads(wide, 2)[0];
  JobOptions half = wide;
  half.iterations = 2;
  std::string state;
  half.prepare = [&](Trainer& trainer) { trainer.Extend(std::make_unique<KeepState>(2, &state)); };
  RunJobOnThreads(half, 2);
  ASSERT_GT(state.size(), size_t{5} << 20);
  wide.prepare = [&](Trainer& trainer) { trainer.Restore(Parse(state)); };
  for (const JobResult& rank : RunJobOnThreads(wide, 2)) {
    EXPECT_EQ(rank.weights_hash, whole.weights_hash);
  }
}

TEST_P(LateAndNarrow, AStateOfAnotherNetworkIsRefused) {
  CheckpointContents contents = Parse(StateBehind(2, 2));
  std::string key = GetParam().options.wire ? "sync/residual/1" : "sync/pending";
  contents.tensors[key] = Tensor(DType::kFloat32, Shape({3}));
  JobOptions job = options();
  job.prepare = [&](Trainer& trainer) { trainer.Restore(contents); };
  EXPECT_THROW(RunJobOnThreads(job, 2), ShapeError);
}

TEST_P(LateAndNarrow, TheReproducibleModeRefusesIt) {
  JobOptions job = options();
  job.network.lanes = 4;
  EXPECT_THROW(RunJobOnThreads(job, 2), ConfigError);
}

INSTANTIATE_TEST_SUITE_P(
    Of, LateAndNarrow,
    ::testing::Values(Way{"Float16", {.bucket_bytes = 1000, .wire = WireType::kFloat16}},
                      Way{"Bfloat16", {.wire = WireType::kBfloat16}},
                      Way{"Late", {.bucket_bytes = 1000, .double_buffering = true}},
                      Way{"LateFloat16", {.wire = WireType::kFloat16, .double_buffering = true}}),
    [](const auto& info) { return std::string(info.param.name); });

// Beside float32: the training loss falls alike.
TEST(NarrowTraining, ConvergesAsFloat32Does) {
  for (const bool pictures : {false, true}) {
    JobOptions job{.epochs = 8, .pictures = pictures};
    const double start =
        RunJob({.epochs = 1, .iterations = 1, .pictures = pictures}).evaluation.loss;
    const double wide = RunJobOnThreads(job, 2)[0].evaluation.loss;
    for (const WireType wire : {WireType::kFloat16, WireType::kBfloat16}) {
      job.allreduce.wire = wire;
      const double loss = RunJobOnThreads(job, 2)[0].evaluation.loss;
      EXPECT_NEAR(loss, wide, 0.05 * wide);
      EXPECT_LT(loss, 0.9 * start);
    }
  }
}

TEST(NarrowTraining, WeightsAreNearThoseOfFloat32AndNearerWithFeedback) {
  JobOptions job{.epochs = 10, .dropout = false};
  const std::vector<double> wide = RunJobOnThreads(job, 3)[0].values;
  job.allreduce.wire = WireType::kBfloat16;
  const auto error = [&](bool feedback) {
    job.allreduce.error_feedback = feedback;
    const std::vector<double> narrow = RunJobOnThreads(job, 3)[0].values;
    return std::transform_reduce(narrow.begin(), narrow.end(), wide.begin(), 0.0, std::plus<>(),
                                 [](double a, double b) { return std::abs(a - b); });
  };
  EXPECT_LT(error(true), error(false));
}

// The definition: at the end of each step the gradients of the step before are applied.
class LateSync : public LocalSync {
 public:
  bool is_local() const override { return false; }
  std::span<const GradientPart> FinishGradients(Variables& variables) override {
    auto* const values = static_cast<float*>(variables.gradients());
    before_.resize(static_cast<size_t>(variables.flat_size()));
    std::swap_ranges(before_.begin(), before_.end(), values);
    return {};
  }
  int64_t CountOf(int64_t count) override { return std::exchange(count_, count); }

 private:
  std::vector<float> before_;
  int64_t count_ = 0;
};

TEST(LateTraining, FollowsItsDefinition) {
  LateSync late;
  const JobResult wanted = RunJob({.epochs = 4, .sync = &late});
  JobOptions job{.epochs = 4, .allreduce = {.double_buffering = true}};
  for (const int ranks : {1, 2, 3, 4}) {
    const std::vector<JobResult> all = RunJobOnThreads(job, ranks);
    for (const JobResult& rank : all) {
      EXPECT_EQ(rank.values, all[0].values);
      EXPECT_LT(Difference(rank.values, wanted.values), ranks == 1 ? 1e-15 : 1e-6);
    }
  }
}

// As ChainerMN's: the first step updates nothing, the second applies what the first one computed,
// and what the last one computed is not used.
TEST(LateTraining, IsOneStepBehind) {
  const auto after = [](int64_t steps, bool late) {
    JobOptions job{.iterations = steps, .allreduce = {.double_buffering = late}};
    return RunJobOnThreads(job, 2)[0].values;
  };
  EXPECT_EQ(after(2, true), after(1, false));
  JobOptions start{.iterations = 1};
  start.change = [](Tensor*, Tensor* labels) {
    std::fill(labels->values<int32_t>().begin(), labels->values<int32_t>().end(), -1);
  };
  EXPECT_EQ(after(1, true), RunJob(start).values);
}

}  // namespace
}  // namespace lockstep::testing
