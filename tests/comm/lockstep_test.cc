// The promise: the same bits from any number of ranks.
#include <gtest/gtest.h>

#include "kernels/error.h"
#include "tests/comm/training_job.h"

namespace lockstep::testing {
namespace {

struct Setting {
  const char* name;
  bool pictures;
  int lanes;
  LaneNorm norm;
};

class Lockstep : public ::testing::TestWithParam<Setting> {
 protected:
  JobOptions options() const {
    JobOptions job{.pictures = GetParam().pictures};
    job.network.lanes = GetParam().lanes;
    job.network.lane_norm = GetParam().norm;
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
        job.allreduce.bucket_bytes = threads == 1 ? 0 : size_t{64} << 10;
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
