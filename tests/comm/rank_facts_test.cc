// Ranks whose parts are not equal are told before they train.
#include "engine/train/rank_facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/comm/processes.h"
#include "tests/comm/ranks.h"
#include "tests/comm/training_job.h"

namespace lockstep::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(RankFacts, EachThatDiffersIsNamedWithItsValues) {
  const std::vector<RankFacts> of_rank = {{{"a", "1"}, {"b", "2"}, {"only here", "x"}},
                                          {{"a", "1"}, {"b", ""}},
                                          {{"a", "1"}, {"b", "2"}}};
  std::vector<std::string> texts(3);
  OnRanks(3, [&](Communicator& communicator) {
    CommGroup group(communicator);
    const auto rank = static_cast<size_t>(communicator.rank());
    RequireEqual(group, {{"alike", "yes"}});
    RequireEqual(group, {});
    try {
      RequireEqual(group, of_rank[rank]);
    } catch (const AgreedError& error) {
      texts[rank] = error.what();
    }
  });
  for (const std::string& text : texts) {
    EXPECT_EQ(text,
              "the ranks do not train the same: b is 2 on rank 0, '' on rank 1; only here is x on "
              "rank 0, not set on rank 1; start all of them with the same options, data and "
              "program");
  }
}

// Rank `odd` of `ranks` has a job of its own.
std::string RefusalOf(const JobOptions& job, const JobOptions& other, int ranks, int odd) {
  std::vector<std::string> texts(static_cast<size_t>(ranks));
  OnRanks(ranks, [&](Communicator& communicator) {
    CommGroup group(communicator);
    try {
      RunJob(communicator.rank() == odd ? other : job, &group);
    } catch (const AgreedError& error) {
      EXPECT_EQ(error.code(), ExitCode::kDisagree) << error.what();
      texts[static_cast<size_t>(communicator.rank())] = error.what();
    }
  });
  for (const std::string& text : texts) EXPECT_EQ(text, texts[0]);
  return texts[0];
}

TEST(RankFacts, TrainersOfUnequalPartsDoNotStart) {
  struct Case {
    const char* text;
    std::function<void(JobOptions&)> change;
  };
  const std::vector<Case> cases = {
      {"the network is ", [](JobOptions& o) { o.dropout = false; }},
      {"the seed is 5 on rank 0, 6 on rank ", [](JobOptions& o) { o.network.seed = 6; }},
      {"its dtype is float32 on rank 0, float32, computed in bfloat16 on rank ",
       [](JobOptions& o) { o.network.compute_dtype = DType::kBfloat16; }},
      {"what is frozen is '' on rank 0, l1/W on rank ",
       [](JobOptions& o) { o.network.frozen = {"l1/W"}; }},
      {"the number of lanes is none on rank 0, 4 with statistics of all on rank ",
       [](JobOptions& o) { o.network.lanes = 4; }},
      {"accumulation is 1 on rank 0, 2 on rank ", [](JobOptions& o) { o.network.accumulate = 2; }},
      {"batch normalisation over ranks is false on rank 0, true on rank ",
       [](JobOptions& o) { o.network.norm_over_ranks = true; }},
      {"exact math is true on rank 0, false on rank ",
       [](JobOptions& o) { o.network.exact_math = false; }},
      {"the size of lanes' pieces is 4194304 on rank 0, 4096 on rank ",
       [](JobOptions& o) { o.network.lane_bucket_bytes = 4096; }},
      {"how gradients travel is in pieces of 4194304 bytes, in parts from 8388608 bytes on on rank "
       "0, in one piece, ",
       [](JobOptions& o) { o.allreduce.bucket_bytes = 0; }},
      {" bytes, as bfloat16 with error feedback, in parts ",
       [](JobOptions& o) { o.allreduce.wire = WireType::kBfloat16; }},
      {" bytes, one step late, ", [](JobOptions& o) { o.allreduce.double_buffering = true; }},
      {" bytes on, statistics each rank's own on rank ",
       [](JobOptions& o) { o.allreduce.average_states = false; }},
      {"the number of updates is 0 on rank 0, 7 on rank ",
       [](JobOptions& o) {
         o.prepare = [](Trainer& trainer) { trainer.updater().set_updates(7); };
       }},
      {"the training data is 150 (21,) ", [](JobOptions& o) { o.samples = 151; }},
      {"the training data is 150 (21,) ",
       [](JobOptions& o) {
         o.change = [](Tensor* features, Tensor*) { features->values<float>()[7] += 1.0F; };
       }},
      {"the batch size is 64 on rank 0, 32 on rank ", [](JobOptions& o) { o.batch_size = 32; }},
      {"weight decay is ", [](JobOptions& o) { o.hooks.weight_decay = 0; }},
      {"gradient clipping is 0 on rank 0, 1.5 on rank ",
       [](JobOptions& o) { o.hooks.gradient_clipping = 1.5; }},
      {"the number of epochs is 2 on rank 0, 3 on rank ", [](JobOptions& o) { o.epochs = 3; }},
      {"the number of iterations is 0 on rank 0, 5 on rank ",
       [](JobOptions& o) { o.iterations = 5; }},
      {"the weights to start from is ",
       [](JobOptions& o) {
         o.prepare = [](Trainer& trainer) {
           Tensor bias = trainer.network().variables().Get("l2/b");
           bias.values<float>()[16] += 0x1p-20F;
           trainer.network().variables().Set("l2/b", bias);
         };
       }},
      {"the place in the data is 0:0 on rank 0, 0:64 on rank ",
       [](JobOptions& o) {
         o.prepare = [](Trainer& trainer) { trainer.source().Seek({.epoch = 0, .offset = 64}); };
       }},
  };
  const JobOptions job;
  for (const Case& each : cases) {
    SCOPED_TRACE(each.text);
    JobOptions other = job;
    each.change(other);
    for (const int ranks : {2, 3}) {
      const int odd = ranks - 1;
      EXPECT_THAT(RefusalOf(job, other, ranks, odd),
                  AllOf(HasSubstr(each.text), HasSubstr(" on rank " + std::to_string(odd))));
    }
  }
}

// There memory for gradients is taken by all ranks together, of the size that the network needs.
TEST(RankFacts, UnequalNetworksDoNotTakeSharedMemory) {
  for (const bool lanes : {false, true}) {
    const auto statuses = RunProcesses(2, [&](int rank, const ExchangeBytes& exchange) {
      const auto communicator =
          MakeShmCommunicator({.rank = rank, .size = 2, .world_rank = rank}, exchange);
      CommGroup group(*communicator);
      JobOptions job;
      job.dropout = rank == 0 || lanes;
      if (rank == 1 && lanes) job.network.lanes = 4;
      try {
        RunJob(job, &group);
        ADD_FAILURE() << "trained";
      } catch (const AgreedError& error) {
        EXPECT_EQ(error.code(), ExitCode::kDisagree);
        EXPECT_THAT(error.what(), HasSubstr(lanes ? "the number of lanes is none on rank 0, 4 "
                                                  : "the network is "));
      }
    });
    EXPECT_THAT(statuses, ::testing::Each(0));
  }
}

// One that does not restore what the others do; and where all do, they are compared once more.
TEST(RankFacts, ARestoredStateIsComparedToo) {
  JobOptions first;
  first.iterations = 3;
  std::optional<CheckpointContents> saved;
  first.prepare = [&](Trainer& trainer) { saved = CopyState(trainer); };
  RunJob(first);
  ASSERT_TRUE(saved);
  saved->tensors.begin()->second.values<float>()[0] += 1.0F;
  JobOptions job, restoring;
  restoring.prepare = [&](Trainer& trainer) { trainer.Restore(*saved); };
  EXPECT_THAT(RefusalOf(job, restoring, 2, 1), HasSubstr("the weights to start from is "));
  EXPECT_EQ(RefusalOf(restoring, restoring, 2, 1), "");
  // Compared already, and then one goes elsewhere.
  restoring.prepare = [&](Trainer& trainer) {
    trainer.RequireSameOnAllRanks();
    trainer.Restore(*saved);
  };
  job.prepare = [&](Trainer& trainer) {
    trainer.RequireSameOnAllRanks();
    trainer.Restore(CopyState(trainer));
  };
  EXPECT_THAT(RefusalOf(job, restoring, 2, 1), HasSubstr("the weights to start from is "));
}

}  // namespace
}  // namespace lockstep::testing
