// Ranks whose devices do not share the host's memory: what travels between them goes through it.
#include <gtest/gtest.h>

#include <vector>

#include "tests/comm/training_job.h"
#include "tests/kernels/far_backend.h"

namespace lockstep::testing {
namespace {

std::unique_ptr<Backend> Far() { return std::make_unique<FarBackend>(); }

// What ranks on far devices end with is what ranks on the CPU end with, to the bit.
void ExpectSameOnFarDevices(JobOptions options, int ranks) {
  const auto wanted = RunJobOnThreads(options, ranks);
  options.backend = Far;
  options.prepare = [&](Trainer& trainer) {
    trainer.network().algorithms().Parse(wanted[0].algorithms);
  };
  const auto found = RunJobOnThreads(options, ranks);
  for (size_t rank = 0; rank < wanted.size(); ++rank) {
    EXPECT_EQ(found[rank].values, wanted[rank].values) << "rank " << rank;
    EXPECT_EQ(found[rank].weights_hash, wanted[rank].weights_hash);
    EXPECT_EQ(found[rank].evaluation.loss, wanted[rank].evaluation.loss);
  }
}

JobOptions Pictures() {
  return {.samples = 70, .batch_size = 16, .iterations = 9, .pictures = true};
}

TEST(FarRanks, AddGradientsAndAverageStatisticsAsOnTheCpu) {
  ExpectSameOnFarDevices({}, 3);
  JobOptions options = Pictures();
  options.allreduce.bucket_bytes = 1 << 10;
  ExpectSameOnFarDevices(options, 2);
}

TEST(FarRanks, SendSixteenBitsWithErrorFeedback) {
  JobOptions options;
  options.allreduce.wire = WireType::kBfloat16;
  ExpectSameOnFarDevices(options, 2);
}

TEST(FarRanks, SumWhileTheNextStepRuns) {
  JobOptions options;
  options.allreduce.double_buffering = true;
  ExpectSameOnFarDevices(options, 2);
}

TEST(FarRanks, NormaliseOverAllRanks) {
  JobOptions options = Pictures();
  options.network.norm_over_ranks = true;
  ExpectSameOnFarDevices(options, 2);
}

TEST(FarRanks, KeepThePromiseOfTheReproducibleMode) {
  JobOptions options = Pictures();
  options.network.lanes = 4;
  ExpectSameOnFarDevices(options, 3);
  const std::string one = RunJob(options).weights_hash;
  options.backend = Far;
  EXPECT_EQ(RunJob(options).weights_hash, one);
  EXPECT_EQ(RunJobOnThreads(options, 2)[1].weights_hash, one);
}

}  // namespace
}  // namespace lockstep::testing
