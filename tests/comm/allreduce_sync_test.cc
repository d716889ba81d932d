// Several ranks train as one does.
#include "comm/allreduce_sync.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "comm/forwarding_communicator.h"
#include "engine/train/rank_check.h"
#include "kernels/error.h"
#include "tests/comm/ranks.h"
#include "tests/comm/training_job.h"
#include "tests/comm/wrapped_source.h"
#include "tests/temporary_directory.h"

namespace lockstep::testing {
namespace {

using ::testing::HasSubstr;

struct Ranks {
  int ranks;
  size_t bucket_bytes;
};

class AllreduceTraining : public ::testing::TestWithParam<Ranks> {
 protected:
  JobOptions options() const { return {.allreduce = {.bucket_bytes = GetParam().bucket_bytes}}; }
};

// 150 samples in batches of 64: the last batch has 22, unevenly spread. Dropout on.
TEST_P(AllreduceTraining, FollowsOneRankOnTheWholeBatch) {
  const JobResult one = RunJob(options());
  const std::vector<JobResult> all = RunJobOnThreads(options(), GetParam().ranks);
  for (const JobResult& rank : all) {
    EXPECT_LT(Difference(rank.values, one.values), 1e-6);
    EXPECT_EQ(rank.values, all[0].values);  // every rank holds the same bits
    EXPECT_EQ(rank.evaluation.count, 150);
    EXPECT_NEAR(rank.evaluation.loss, one.evaluation.loss, 1e-5 * one.evaluation.loss);
    EXPECT_EQ(rank.evaluation.metric, one.evaluation.metric);
    EXPECT_EQ(rank.clock.iteration, 6);
  }
}

TEST_P(AllreduceTraining, LeavesOutIgnoredRowsWhereverTheyAre) {
  JobOptions job = options();
  job.change = [](Tensor*, Tensor* labels) {
    const auto values = labels->values<int32_t>();
    for (size_t i = 0; i < values.size(); ++i) {
      if (i % 3 == 0 || i > 100) values[i] = -1;
    }
  };
  const JobResult one = RunJob(job);
  for (const JobResult& rank : RunJobOnThreads(job, GetParam().ranks)) {
    EXPECT_LT(Difference(rank.values, one.values), 1e-6);
    EXPECT_EQ(rank.evaluation.count, one.evaluation.count);
  }
}

// A rank's rows in parts; the last batch has 22 samples, so that parts are uneven and some empty.
TEST_P(AllreduceTraining, PartsOneAfterTheOtherFollowTheWholeBatch) {
  const JobResult one = RunJob(options());
  for (const int parts : {2, 3, 11}) {
    JobOptions job = options();
    job.network.accumulate = parts;
    const std::vector<JobResult> all = RunJobOnThreads(job, GetParam().ranks);
    for (const JobResult& rank : all) {
      EXPECT_LT(Difference(rank.values, one.values), 1e-6);
      EXPECT_EQ(rank.values, all[0].values);
      EXPECT_EQ(rank.evaluation.count, 150);
    }
  }
}

// 129 samples leave one for the last batch: all ranks but one have none of it.
TEST_P(AllreduceTraining, GoesOnWhereTheLastBatchIsSmallerThanTheRanks) {
  for (const int kind : {0, 1, 2, 3}) {
    JobOptions job = options();
    job.samples = 129;
    job.pictures = kind > 0;
    job.network.accumulate = kind == 3 ? 4 : 1;
    // Ranks without a row still take part in the sums of batch statistics, in the same order.
    job.network.norm_over_ranks = kind >= 2;
    const std::vector<JobResult> all = RunJobOnThreads(job, GetParam().ranks);
    for (const JobResult& rank : all) {
      EXPECT_EQ(rank.values, all[0].values);
      EXPECT_EQ(rank.evaluation.count, 129);
    }
  }
}

// Over all ranks batch normalisation sees the whole batch, as one rank does.
TEST_P(AllreduceTraining, NormOverRanksIsThatOfTheWholeBatch) {
  JobOptions job = options();
  job.pictures = true;
  const JobResult one = RunJob(job);
  job.network.norm_over_ranks = true;
  for (const JobResult& rank : RunJobOnThreads(job, GetParam().ranks)) {
    EXPECT_LT(Difference(rank.values, one.values), 2e-4);
  }
}

// Averaging in every step leaves what averaging in the end would: they are linear in the batches.
TEST_P(AllreduceTraining, RunningStatisticsAreTheMeanOverRanksWeightedBySamples) {
  const auto ranks = static_cast<size_t>(GetParam().ranks);
  JobOptions job = options();
  job.pictures = true;
  job.sharded = true;  // rank r has 4 (r + 1) samples of every batch
  job.batch_size = 2 * GetParam().ranks * (GetParam().ranks + 1);
  job.samples = 3 * job.batch_size;
  const std::vector<JobResult> averaged = RunJobOnThreads(job, GetParam().ranks);
  job.allreduce.average_states = false;
  const std::vector<JobResult> own = RunJobOnThreads(job, GetParam().ranks);
  std::vector<double> mean(own[0].values.size(), 0.0);
  for (size_t rank = 0; rank < ranks; ++rank) {
    const double share = 4.0 * static_cast<double>(rank + 1) / static_cast<double>(job.batch_size);
    for (size_t i = 0; i < mean.size(); ++i) mean[i] += own[rank].values[i] * share;
  }
  for (const JobResult& rank : averaged) {
    EXPECT_EQ(rank.values, averaged[0].values);
    EXPECT_LT(Difference(rank.values, mean), 1e-6);
  }
  if (ranks > 1) {
    EXPECT_GT(Difference(own[0].values, own[1].values), 1e-4);
  }
}

// Counts the sums of which each rank keeps its part.
class CountingCommunicator : public ForwardingCommunicator {
 public:
  using ForwardingCommunicator::ForwardingCommunicator;
  bool ReduceScatter(void* data, int64_t count, WireType type, ReduceOp op) override {
    ++parts;
    return ForwardingCommunicator::ReduceScatter(data, count, type, op);
  }
  int parts = 0;
};

// Leaves about one label of twenty.
void IgnoreMost(Tensor* labels) {
  const auto values = labels->values<int32_t>();
  for (size_t i = 0; i < values.size(); ++i) {
    if (i % 20 != 3) values[i] = -1;
  }
}

// What every rank ends with, and how many sums stayed in parts. `last_keeps`: the last rank keeps
// its gradients.
std::pair<JobResult, int> RunCounting(const JobOptions& options, int ranks,
                                      bool last_keeps = false) {
  std::vector<JobResult> results(static_cast<size_t>(ranks));
  std::atomic<int> parts = 0;
  OnRanks(ranks, [&](Communicator& communicator) {
    CountingCommunicator counting(communicator);
    CommGroup group(counting);
    JobOptions mine = options;
    mine.keep_gradients |= last_keeps && communicator.rank() == ranks - 1;
    results[static_cast<size_t>(communicator.rank())] = RunJob(mine, &group);
    parts += counting.parts;
  });
  for (const JobResult& rank : results) EXPECT_EQ(rank.values, results[0].values);
  return {results[0], parts.load()};
}

// Updates from everybody's parts have the bits of updates from whole sums.
TEST_P(AllreduceTraining, SumsInPartsLeaveTheSameBits) {
  const TemporaryDirectory directory;
  for (const int kind : {0, 1, 2, 3, 4, 5}) {
    if (kind > 0 && GetParam().bucket_bytes == 4) break;  // slow: thousands of sums
    JobOptions job = options();
    job.allreduce.least_bytes_in_parts = 0;
    job.pictures = kind == 1;
    // Steps in which nothing counts, and steps of which some ranks have no rows.
    if (kind == 4) job.change = [](Tensor*, Tensor* labels) { IgnoreMost(labels); };
    if (kind >= 4) job.batch_size = kind == 4 ? 5 : 37;
    job.network.algorithm_file = directory / "algorithms";  // the same for both
    job.network.accumulate = kind == 2 ? 3 : 1;
    if (kind == 3) job.network.frozen = {"l1/b", "l2/W"};
    const auto [in_parts, parts] = RunCounting(job, GetParam().ranks);
    job.keep_gradients = true;
    const auto [whole, none] = RunCounting(job, GetParam().ranks);
    EXPECT_EQ(in_parts.values, whole.values) << kind;
    EXPECT_EQ(in_parts.updates, whole.updates) << kind;
    if (kind == 4) {
      EXPECT_LT(whole.updates, whole.clock.iteration);
    }
    EXPECT_EQ(parts > 0, GetParam().ranks > 1);  // alone a rank has whole sums anyway
    EXPECT_EQ(none, 0);
  }
}

// Clipping needs the norm of all gradients before the first update, float16 needs to know of their
// overflows, and what is narrowed or used a step late is not where it was computed.
TEST_P(AllreduceTraining, SumsThatOneStepReadsTwiceAreWhole) {
  for (const int kind : {0, 1, 2, 3, 4}) {
    JobOptions job = options();
    if (kind == 0) job.hooks = {.gradient_clipping = 0.5};
    if (kind == 1) job.network.compute_dtype = DType::kFloat16;
    if (kind == 2) job.allreduce.wire = WireType::kBfloat16;
    if (kind == 3) job.allreduce.double_buffering = true;
    const auto [usual, no_parts] = RunCounting(job, GetParam().ranks);
    job.allreduce.least_bytes_in_parts = 0;
    const auto [result, parts] = RunCounting(job, GetParam().ranks, kind == 4);
    EXPECT_EQ(result.values, usual.values) << kind;
    EXPECT_EQ(parts, 0) << kind;
    EXPECT_EQ(no_parts, 0) << kind;
  }
}

INSTANTIATE_TEST_SUITE_P(Of, AllreduceTraining,
                         ::testing::Values(Ranks{1, 0}, Ranks{2, 0}, Ranks{2, 64}, Ranks{3, 1000},
                                           Ranks{4, size_t{4} << 20}, Ranks{5, 4}),
                         [](const auto& info) {
                           return std::to_string(info.param.ranks) + "Ranks" +
                                  std::to_string(info.param.bucket_bytes) + "Bytes";
                         });

TEST(AllreduceTrainingErrors, FewerSamplesThanPartsOfAllRanksAreRefused) {
  JobOptions job;
  job.network.accumulate = 30;
  EXPECT_EQ(ErrorOf(job, 3),
            "64: --accumulate 30 on 3 processes makes 90 parts of a batch of 64 samples; give "
            "fewer parts or a larger --batch-size");
}

TEST(AllreduceTrainingErrors, ABadValueOnOneRankStopsAllAndNamesIt) {
  // Where ranks meet in the middle of a step all of them see the loss that one has made.
  for (const bool pictures : {false, true}) {
    for (const int lanes : {0, 6}) {
      for (const bool sync : {false, true}) {
        JobOptions job;
        job.pictures = pictures;
        job.network.lanes = lanes;
        job.network.norm_over_ranks = sync && lanes == 0;
        job.network.lane_norm = sync ? LaneNorm::kSync : LaneNorm::kLane;
        const std::string bad = pictures ? "c2/b" : "l1/b";
        job.prepare = [&](Trainer& trainer) {
          trainer.RequireSameOnAllRanks();
          if (trainer.network().group().rank() != 1) return;
          // Stands in for a rank whose arithmetic has gone wrong.
          const Variables::Entry& bias = trainer.network().variables().Find(bad);
          static_cast<float*>(bias.data)[0] = std::numeric_limits<float>::quiet_NaN();
        };
        const std::string error = ErrorOf(job, 3);
        EXPECT_THAT(error, HasSubstr("65: rank 1: the loss is "))
            << pictures << " " << lanes << " " << sync;
        EXPECT_THAT(error, HasSubstr("at iteration 1, epoch 1; the data is finite: " + bad +
                                     " is not finite"));
      }
    }
  }
}

TEST(AllreduceTrainingErrors, TheBadRowIsNamedByTheRankThatHasIt) {
  for (const int lanes : {0, 6}) {
    JobOptions job;
    job.network.lanes = lanes;
    job.change = [](Tensor* features, Tensor*) {
      features->values<float>()[21 * 77] = std::numeric_limits<float>::infinity();
    };
    EXPECT_THAT(ErrorOf(job, 3), HasSubstr("row 77")) << lanes << " lanes";
  }
}

// What each rank throws where `rank` meets a feature of 3e38 in batch 2, whose weights are zero:
// the loss is finite, the sum of its gradients over samples is not.
std::string ErrorOfHugeFeature(int rank, int ranks, int accumulate = 1,
                               const AllreduceOptions& allreduce = {}, int lanes = 0) {
  std::string error;
  OnRanks(ranks, [&](Communicator& communicator) {
    CommGroup group(communicator);
    const int me = communicator.rank();
    JobOptions job{.allreduce = allreduce};
    job.network.accumulate = accumulate;
    job.network.lanes = lanes;
    job.change = [](Tensor* features, Tensor*) {
      for (size_t i = 0; i < features->values<float>().size(); i += 21) {
        features->values<float>()[i] = 0.0F;
      }
    };
    job.wrap = [&](BatchSource& source) {
      return std::make_unique<WrappedSource>(
          source, [=, at = 0](Batch* batch, std::vector<int64_t>*) mutable {
            if (++at != 2 || me != rank) return;
            auto* x = static_cast<float*>(const_cast<void*>(batch->x));
            for (int64_t row = 0; row < batch->rows; ++row) x[21 * row] = 3e38F;
          });
    };
    job.prepare = [](Trainer& trainer) {
      auto* weights = static_cast<float*>(trainer.network().variables().Find("l1/W").data);
      for (int out = 0; out < 33; ++out) weights[21 * out] = 0.0F;
      // So that what comes back to l1 is well above 1.
      for (const char* name : {"l2/W", "fc/W"}) {
        const Variables::Entry& entry = trainer.network().variables().Find(name);
        auto* values = static_cast<float*>(entry.data);
        for (int64_t i = 0; i < entry.type.shape.size(); ++i) values[i] *= 4.0F;
      }
    };
    try {
      RunJob(job, &group);
    } catch (const AgreedError& thrown) {
      if (me == ranks - 1)
        error = std::to_string(static_cast<int>(thrown.code())) + ": " + thrown.what();
    }
  });
  return error;
}

// Rounding, scaling and delay hide nothing.
TEST(AllreduceTrainingErrors, ABadGradientStaysOneInSixteenBitsAndAStepLate) {
  for (const WireType wire : {WireType::kFloat16, WireType::kBfloat16}) {
    EXPECT_THAT(ErrorOfHugeFeature(1, 2, 1, {.wire = wire}),
                HasSubstr("65: rank 1: the gradient of l1/W is not finite at iteration 2"));
  }
  EXPECT_THAT(ErrorOfHugeFeature(1, 2, 1, {.double_buffering = true}),
              HasSubstr("65: the sums of gradients are not finite at iteration 3"));
}

TEST(AllreduceTrainingErrors, ABadGradientIsNamedWithItsRankAndStep) {
  for (const int ranks : {2, 3}) {
    for (const int rank : {0, 1}) {
      // Whole on every rank, and in parts.
      const size_t least = ranks == 2 ? 0 : size_t{1} << 40;
      for (const int lanes : {0, 6}) {
        EXPECT_EQ(
            ErrorOfHugeFeature(rank, ranks, rank + 1, {.least_bytes_in_parts = least}, lanes),
            "65: rank " + std::to_string(rank) +
                ": the gradient of l1/W is not finite at iteration 2, epoch 1 though loss, data "
                "and weights are: training diverged; lower the learning rate")
            << lanes;
      }
    }
  }
}

// Flips the lowest bit of an element of `data` behind step `at`.
class FlipABit : public Extension {
 public:
  FlipABit(int64_t at, void* data) : at_(at), data_(data) {}
  std::string name() const override { return "flip"; }
  Trigger trigger() const override { return Trigger::Iterations(1); }
  void Invoke(Trainer& trainer) override {
    if (trainer.clock().iteration == at_) static_cast<uint32_t*>(data_)[3] ^= 1U;
  }

 private:
  int64_t at_;
  void* data_;
};

TEST(AllreduceTrainingErrors, AFlippedBitIsFoundAndItsRankNamed) {
  for (const int ranks : {2, 3, 4}) {
    for (const bool of_optimizer : {false, true}) {
      JobOptions job{.epochs = 10};
      job.prepare = [&](Trainer& trainer) {
        void* data = trainer.network().variables().Find("l2/W").data;
        if (of_optimizer) data = trainer.updater().StateView("l2/W", "v").data();
        if (trainer.network().group().rank() == 1) {
          // Behind the update, so that no rounding hides it.
          trainer.Extend(std::make_unique<FlipABit>(10, data));
        }
        trainer.Extend(std::make_unique<RankCheck>(5));
      };
      const std::string error = ErrorOf(job, ranks);
      EXPECT_THAT(error, HasSubstr(ranks == 2 ? "76: ranks 0 and 1 hold different values in "
                                              : "76: rank 1 holds other values than most in "));
      EXPECT_THAT(error, HasSubstr("at iteration 10, as they did not 5 steps before"));
    }
  }
  JobOptions job;
  job.prepare = [](Trainer& trainer) { trainer.Extend(std::make_unique<RankCheck>(1)); };
  EXPECT_EQ(ErrorOf(job, 3), "");
}

// Ranks that time at once disturb each other, so they take turns and take over what was found.
TEST(AllreduceTrainingChoices, AreTheSameOnAllRanks) {
  for (const bool trains : {true, false}) {
    JobOptions job{.pictures = true};
    job.network.exact_math = false;
    if (!trains) job.should_stop = [] { return true; };
    const std::vector<JobResult> results = RunJobOnThreads(job, 3);
    EXPECT_THAT(results[0].algorithms, HasSubstr("forward"));
    for (const JobResult& rank : results) EXPECT_EQ(rank.algorithms, results[0].algorithms);
  }
}

TEST(AllreduceTrainingStop, OneRankThatIsAskedStopsAllAfterTheSameStep) {
  std::vector<JobResult> results(3);
  OnRanks(3, [&](Communicator& communicator) {
    CommGroup group(communicator);
    JobOptions job{.epochs = 50};
    int asked = 0;
    if (communicator.rank() == 2) job.should_stop = [&] { return ++asked > 4; };
    results[static_cast<size_t>(communicator.rank())] = RunJob(job, &group);
  });
  for (const JobResult& rank : results) {
    EXPECT_TRUE(rank.stopped);
    EXPECT_EQ(rank.clock.iteration, results[0].clock.iteration);
    EXPECT_EQ(rank.values, results[0].values);
  }
  EXPECT_LT(results[0].clock.iteration, 6);
}

// A rank that is gone is an error of the others, not a wait.
TEST(AllreduceTrainingErrors, ARankThatGivesUpEndsTheOthers) {
  std::atomic<int> told = 0;
  OnRanks(3, [&](Communicator& communicator) {
    CommGroup group(communicator);
    JobOptions job{.epochs = 50};
    if (communicator.rank() == 1) {
      communicator.Abort("out of memory");
      return;
    }
    try {
      RunJob(job, &group);
    } catch (const CommError& error) {
      EXPECT_THAT(error.what(), HasSubstr("out of memory"));
      EXPECT_EQ(error.code(), ExitCode::kPeerLost);
      ++told;
    }
  });
  EXPECT_EQ(told, 2);
}

}  // namespace
}  // namespace lockstep::testing
