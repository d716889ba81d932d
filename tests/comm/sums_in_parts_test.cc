// Parts of sums, which ranks read from each other's memory (AllreduceSync).
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <span>
#include <thread>
#include <vector>

#include "comm/allreduce_sync.h"
#include "comm/forwarding_communicator.h"
#include "engine/train/batch_cut.h"
#include "kernels/error.h"
#include "tests/comm/ranks.h"
#include "tests/comm/training_job.h"

namespace lockstep::testing {
namespace {

constexpr auto kMoment = std::chrono::milliseconds(30);

// Rank 0 finishes its part of a sum later than the others, who leave meanwhile.
class SlowToFinish : public ForwardingCommunicator {
 public:
  using ForwardingCommunicator::ForwardingCommunicator;
  bool ReduceScatter(void* data, int64_t count, WireType type, ReduceOp op) override {
    const bool finite = ForwardingCommunicator::ReduceScatter(data, count, type, op);
    if (rank() != 0) return finite;
    const Range mine = PartOf(count, 0, size());
    float* const begin = static_cast<float*>(data) + mine.begin;
    const std::vector<float> sums(begin, begin + mine.size());
    std::fill(begin, begin + mine.size(), -1.0F);
    std::this_thread::sleep_for(kMoment);
    std::copy(sums.begin(), sums.end(), begin);
    return finite;
  }
};

// Three steps of ranks whose gradients are all rank + 1.
void SumInParts(int ranks, size_t bucket_bytes,
                const std::function<void(int rank)>& before_reading) {
  OnRanks(ranks, [&](Communicator& communicator) {
    SlowToFinish slow(communicator);
    CommGroup group(slow);
    const auto graph = MakeJobGraph({});
    const auto backend = MakeCpuBackend(1);
    Network network(*graph, *backend, {.group = &group});
    Variables& variables = network.variables();
    AllreduceSync sync(group, {.bucket_bytes = bucket_bytes, .least_bytes_in_parts = 0});
    for (int step = 0; step < 3; ++step) {
      sync.BeginStep(variables, true);
      auto* const gradients = static_cast<float*>(variables.gradients());
      std::fill(gradients, gradients + variables.flat_size(),
                static_cast<float>(communicator.rank() + 1));
      const std::span<const GradientPart> parts = sync.FinishGradients(variables);
      EXPECT_TRUE(sync.ShareOfSumsIsFinite(variables));
      before_reading(communicator.rank());
      int64_t wrong = 0, seen = 0;
      for (const GradientPart& part : parts) {
        EXPECT_EQ(part.begin, seen);
        seen = part.end;
        const auto* const sums = static_cast<const float*>(part.data);
        wrong += std::count_if(sums, sums + (part.end - part.begin), [&](float sum) {
          return sum != static_cast<float>(ranks * (ranks + 1) / 2);
        });
      }
      EXPECT_EQ(seen, variables.flat_size());
      EXPECT_EQ(wrong, 0) << "rank " << communicator.rank() << " step " << step;
    }
  });
}

TEST(SumsInParts, AreFinishedOnAllRanksWhereTheyAreRead) {
  for (const size_t bucket_bytes : {0, 1000}) {
    SumInParts(3, bucket_bytes, [](int) {});
  }
}

TEST(SumsInParts, AreNotOverwrittenWhileOthersReadThem) {
  SumInParts(3, 0, [](int rank) {
    if (rank == 1) std::this_thread::sleep_for(kMoment);
  });
}

// A job that was lost there has neither half a step nor one that it does not know of.
TEST(SumsInParts, AStepIsWholeWhereAPeerIsLostBehindIt) {
  class LostBehindAStep : public ForwardingCommunicator {
   public:
    using ForwardingCommunicator::ForwardingCommunicator;
    void Barrier() override {
      if (++barriers_ == 2) throw CommError("lost");  // the second is before the second step
      ForwardingCommunicator::Barrier();
    }

   private:
    int barriers_ = 0;
  };
  OnRanks(2, [](Communicator& communicator) {
    LostBehindAStep losing(communicator);
    CommGroup group(losing);
    JobOptions job;
    job.allreduce.least_bytes_in_parts = 0;
    job.prepare = [](Trainer& trainer) {
      trainer.Step();
      const CheckpointContents before = CopyState(trainer);
      EXPECT_THROW(trainer.Step(), CommError);
      EXPECT_EQ(trainer.clock().iteration, 1);
      const CheckpointContents after = trainer.State();
      for (const auto& [name, tensor] : before.tensors) {
        const Tensor& now = after.tensors.at(name);
        EXPECT_EQ(std::memcmp(tensor.data(), now.data(), tensor.bytes()), 0) << name;
      }
      throw ConfigError("enough");
    };
    EXPECT_THROW(RunJob(job, &group), ConfigError);
  });
}

}  // namespace
}  // namespace lockstep::testing
