// The promise: the same bits from any number of ranks.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "comm/forwarding_communicator.h"
#include "engine/graph/layers.h"
#include "kernels/error.h"
#include "tests/comm/training_job.h"

namespace lockstep::testing {
namespace {

struct Setting {
  const char* name;
  bool pictures;
  int lanes;
  LaneNorm norm;
  bool pooled = false;
};

// A convolution with max pooling behind it, which are one line.
std::unique_ptr<Graph> MakePooledGraph() {
  auto graph = std::make_unique<Graph>();
  Var h = graph->Input("x", {Shape({3, 7, 9}), DType::kFloat32});
  h = MaxPool2d(Conv2d(h, {.out_channels = 13, .kernel_h = 2, .kernel_w = 4}, "c1"), {});
  h = Linear(Relu(h), {.out = 5}, "fc");
  graph->SetOutput(h);
  graph->SetLoss(SoftmaxCrossEntropy(h, graph->Input("t", {Shape({}), DType::kInt32})));
  return graph;
}

class Lockstep : public ::testing::TestWithParam<Setting> {
 protected:
  JobOptions options() const {
    JobOptions job{.pictures = GetParam().pictures};
    job.network.lanes = GetParam().lanes;
    job.network.lane_norm = GetParam().norm;
    if (GetParam().pooled) job.graph = MakePooledGraph;
    return job;
  }
};

// 150 samples in batches of 64, so that the tail is uneven; and of one sample, so that ranks have
// nothing of it.
TEST_P(Lockstep, BitsDoNotDependOnRanksOrThreads) {
  for (const int64_t samples : {150, 129}) {
    JobOptions job = options();
    job.samples = samples;
    const JobResult one = RunJob(job);
    for (const int ranks : {1, 2, 3, 4}) {
      for (const int threads : {1, 2}) {
        job.threads = threads;
        job.network.lane_bucket_bytes = threads == 1 ? 0 : 100 * static_cast<size_t>(ranks);
        job.network.accumulate = 1 + ranks * threads % 4;
        for (const JobResult& rank : RunJobOnThreads(job, ranks)) {
          EXPECT_EQ(rank.values, one.values) << ranks << " ranks of " << threads << " threads";
          EXPECT_EQ(rank.evaluation.loss, one.evaluation.loss);
          EXPECT_EQ(rank.evaluation.count, samples);
        }
      }
    }
  }
}

// Counts sums of gradients.
class CountingCommunicator : public ForwardingCommunicator {
 public:
  using ForwardingCommunicator::ForwardingCommunicator;
  void Allreduce(void* data, int64_t count, WireType type, ReduceOp op) override {
    sums += type == WireType::kInt64 && count > 10 ? 1 : 0;
    ForwardingCommunicator::Allreduce(data, count, type, op);
  }
  int sums = 0;
};

// As many as there are, also of ranks that have no lanes of the last batch.
TEST_P(Lockstep, GradientsTravelInPieces) {
  JobOptions job = options();
  job.samples = 129;
  int64_t elements = 0;
  job.prepare = [&](Trainer& trainer) {
    if (trainer.network().group().rank() == 0) {
      elements = trainer.network().variables().flat_size();
    }
  };
  const auto sums = [&](size_t bucket_bytes) {
    job.network.lane_bucket_bytes = bucket_bytes;
    std::vector<int> counts(3);
    OnRanks(3, [&](Communicator& communicator) {
      CountingCommunicator counting(communicator);
      {
        CommGroup group(counting);
        RunJob(job, &group);
      }
      counts[static_cast<size_t>(communicator.rank())] = counting.sums;
    });
    EXPECT_EQ(counts, std::vector<int>(3, counts[0]));
    return counts[0];
  };
  const int whole = sums(0);
  EXPECT_GE(whole, 6 + 1);  // the first step is done twice
  for (const int64_t bucket : {100, 999}) {
    EXPECT_EQ(sums(static_cast<size_t>(bucket) * 8),
              whole * (elements / bucket + (elements % bucket > 10 ? 1 : 0)));
  }
}

TEST_P(Lockstep, IgnoredRowsLeaveNoTraceOfRanks) {
  JobOptions job = options();
  job.change = [](Tensor*, Tensor* labels) {
    const auto values = labels->values<int32_t>();
    for (size_t i = 0; i < values.size(); ++i) {
      if (i % 5 == 0 || (i > 30 && i < 120)) values[i] = -1;
    }
  };
  const JobResult one = RunJob(job);
  for (const JobResult& rank : RunJobOnThreads(job, 3)) EXPECT_EQ(rank.values, one.values);
}

INSTANTIATE_TEST_SUITE_P(Of, Lockstep,
                         ::testing::Values(Setting{"Mlp", false, 8, LaneNorm::kSync},
                                           Setting{"MlpOfFiveLanes", false, 5, LaneNorm::kSync},
                                           Setting{"Pooled", true, 8, LaneNorm::kSync, true},
                                           Setting{"PicturesSync", true, 8, LaneNorm::kSync},
                                           Setting{"PicturesSyncOfFourLanes", true, 4,
                                                   LaneNorm::kSync},
                                           Setting{"PicturesLane", true, 4, LaneNorm::kLane}),
                         [](const auto& info) { return info.param.name; });

TEST(LockstepErrors, MoreRanksThanLanesAreRefused) {
  JobOptions job;
  job.network.lanes = 2;
  try {
    RunJobOnThreads(job, 3);
    ADD_FAILURE() << "three ranks trained on two lanes";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kUsage);
    EXPECT_STREQ(error.what(),
                 "3 ranks are more than --lanes 2: a rank runs whole lanes; give more lanes or "
                 "fewer ranks");
  }
}

}  // namespace
}  // namespace lockstep::testing
