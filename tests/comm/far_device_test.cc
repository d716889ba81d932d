// Ranks whose devices do not share the host's memory: what travels between them goes through it, or
// is summed on the devices where the communicator reaches them.
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "comm/allreduce_sync.h"
#include "engine/train/checkpoint_file.h"
#include "tests/comm/ranks.h"
#include "tests/comm/reaching_communicator.h"
#include "tests/comm/training_job.h"
#include "tests/kernels/far_backend.h"

namespace lockstep::testing {
namespace {

std::unique_ptr<Backend> Far() { return std::make_unique<FarBackend>(); }

// The same with a communicator that reaches them.
JobOptions OnReachedDevices(JobOptions options, std::atomic<int>* sums) {
  options.backend = Far;
  options.extend = [=](Communicator& ranks, Backend& device) {
    return std::make_unique<ReachingCommunicator>(ranks, dynamic_cast<FarBackend&>(device), sums);
  };
  return options;
}

void ExpectSameAs(const std::vector<JobResult>& wanted, JobOptions options) {
  options.prepare = [&](Trainer& trainer) {
    trainer.network().algorithms().Parse(wanted[0].algorithms);
  };
  const auto found = RunJobOnThreads(options, static_cast<int>(wanted.size()));
  for (size_t rank = 0; rank < wanted.size(); ++rank) {
    EXPECT_EQ(found[rank].values, wanted[rank].values) << "rank " << rank;
    EXPECT_EQ(found[rank].weights_hash, wanted[rank].weights_hash);
    EXPECT_EQ(found[rank].evaluation.loss, wanted[rank].evaluation.loss);
  }
}

// What ranks on far devices end with is what ranks on the CPU end with, to the bit. Returns how
// many sums each rank made on its device where that was reached.
int ExpectSameOnFarDevices(JobOptions options, int ranks) {
  const auto wanted = RunJobOnThreads(options, ranks);
  options.backend = Far;
  ExpectSameAs(wanted, options);
  std::atomic<int> sums = 0;
  ExpectSameAs(wanted, OnReachedDevices(options, &sums));
  EXPECT_EQ(sums % ranks, 0);
  return sums / ranks;
}

JobOptions Pictures() {
  return {.samples = 70, .batch_size = 16, .iterations = 9, .pictures = true};
}

constexpr int kSteps = 6;  // of a job as it is unless told otherwise

TEST(FarRanks, AddGradientsAndAverageStatisticsAsOnTheCpu) {
  EXPECT_EQ(ExpectSameOnFarDevices({}, 3), kSteps);
  JobOptions options = Pictures();
  options.allreduce.bucket_bytes = 1 << 10;
  EXPECT_EQ(ExpectSameOnFarDevices(options, 2), options.iterations * 12);  // 3072 elements
}

// As bfloat16 from device to device; float16 is the host's work.
TEST(FarRanks, SendSixteenBitsWithErrorFeedback) {
  JobOptions options;
  options.allreduce.wire = WireType::kBfloat16;
  EXPECT_EQ(ExpectSameOnFarDevices(options, 2), kSteps);
  options.allreduce.error_feedback = false;
  EXPECT_EQ(ExpectSameOnFarDevices(options, 3), kSteps);
  options.allreduce.error_feedback = true;
  options.allreduce.wire = WireType::kFloat16;
  EXPECT_EQ(ExpectSameOnFarDevices(options, 2), 0);
}

TEST(FarRanks, SendPiecesOfSixteenBitsDuringTheNextStep) {
  JobOptions options = Pictures();
  options.allreduce.wire = WireType::kBfloat16;
  options.allreduce.bucket_bytes = 1 << 10;
  EXPECT_EQ(ExpectSameOnFarDevices(options, 2), options.iterations * 12);
  options.allreduce.double_buffering = true;
  EXPECT_EQ(ExpectSameOnFarDevices(options, 2), options.iterations * 12);
}

TEST(FarRanks, SumWhileTheNextStepRuns) {
  JobOptions options;
  options.allreduce.double_buffering = true;
  EXPECT_EQ(ExpectSameOnFarDevices(options, 2), kSteps);
}

// What waits for the next step, and what rounding took, is saved from the device and brought back
// to it.
void ExpectToGoOn(std::optional<WireType> wire) {
  JobOptions options;
  options.allreduce.double_buffering = true;
  options.allreduce.wire = wire;
  const auto wanted = RunJobOnThreads(options, 2);
  std::atomic<int> sums = 0;
  std::string state;
  const auto run = [&](const std::function<void(Trainer&)>& prepare) {
    JobOptions far = OnReachedDevices(options, &sums);
    far.prepare = [&](Trainer& trainer) {
      trainer.network().algorithms().Parse(wanted[0].algorithms);
      prepare(trainer);
    };
    return RunJobOnThreads(far, 2);
  };
  const auto keep = [&](Trainer& trainer) {
    for (int step = 0; step < 3; ++step) trainer.Step();
    trainer.sync().state()->Collect(trainer.network().variables());
    if (trainer.network().group().rank() == 0) state = SerializeCheckpoint(trainer.State());
  };
  EXPECT_EQ(run(keep)[1].values, wanted[1].values);
  const auto go_on = [&](Trainer& trainer) {
    trainer.Restore(ParseCheckpoint(std::as_bytes(std::span(state)), "state"));
  };
  EXPECT_EQ(run(go_on)[1].values, wanted[1].values);
}

TEST(FarRanks, GoOnWithGradientsThatWaited) {
  ExpectToGoOn({});
  ExpectToGoOn(WireType::kBfloat16);
}

// A program's device may go before the ranks do.
TEST(FarRanks, LetGoOfTheirDevices) {
  OnRanks(2, [](Communicator& ranks) {
    auto device = std::make_unique<FarBackend>();
    std::atomic<int> sums = 0;
    ReachingCommunicator reaching(ranks, *device, &sums);
    CommGroup group(reaching);
    AllreduceSync sync(group, {.wire = WireType::kBfloat16, .double_buffering = true});
    {
      const auto graph = MakeJobGraph({});
      Network network(*graph, *device, {.group = &group});
      Variables& variables = network.variables();
      for (int step = 0; step < 2; ++step) {
        sync.BeginStep(variables, false);
        sync.FinishGradients(variables);
        sync.CountOf(1);
      }
    }
    EXPECT_GT(sums, 0);
    group.Submit("nothing", [](Communicator&) {}).Wait();
    sync.LetGoOfDevice();
    device.reset();
  });
}

TEST(FarRanks, NormaliseOverAllRanks) {
  JobOptions options = Pictures();
  options.network.norm_over_ranks = true;
  EXPECT_EQ(ExpectSameOnFarDevices(options, 2), options.iterations);
}

TEST(FarRanks, KeepThePromiseOfTheReproducibleMode) {
  JobOptions options = Pictures();
  options.network.lanes = 4;
  EXPECT_GE(ExpectSameOnFarDevices(options, 3), options.iterations);
  const std::string one = RunJob(options).weights_hash;
  options.backend = Far;
  EXPECT_EQ(RunJob(options).weights_hash, one);
  EXPECT_EQ(RunJobOnThreads(options, 2)[1].weights_hash, one);
}

// A label that only the device meets is told by who waits for the step, not by the sums.
TEST(FarRanks, TellABadLabelAsTheCpuDoes) {
  JobOptions options;
  options.change = [](Tensor*, Tensor* labels) { labels->values<int32_t>()[20] = 99; };
  const std::string wanted = ErrorOf(options, 2);
  EXPECT_NE(wanted, "");
  std::atomic<int> sums = 0;
  EXPECT_EQ(ErrorOf(OnReachedDevices(options, &sums), 2), wanted);
}

}  // namespace
}  // namespace lockstep::testing
