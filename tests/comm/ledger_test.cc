// Every sample once an epoch, over all ranks, and how it is noticed where that is not so.
#include "engine/train/ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <random>

#include "data/batch_iterator.h"
#include "engine/graph/layers.h"
#include "kernels/error.h"
#include "tests/comm/ranks.h"
#include "tests/comm/training_job.h"
#include "tests/comm/wrapped_source.h"

namespace lockstep::testing {
namespace {

using ::testing::HasSubstr;

Ledger Of(const std::vector<int64_t>& ids) {
  Ledger ledger;
  ledger.Add(ids);
  return ledger;
}

TEST(LedgerTest, DependsOnWhichIdsAndNotOnTheirOrder) {
  std::vector<int64_t> ids(1000);
  std::iota(ids.begin(), ids.end(), 0);
  std::shuffle(ids.begin(), ids.end(), std::mt19937(1));
  const Ledger all = Ledger::OfAll(1000);
  EXPECT_EQ(Of(ids), all);
  Ledger halves = Of({ids.begin(), ids.begin() + 300});
  halves += Of({ids.begin() + 300, ids.end()});
  EXPECT_EQ(halves, all);
  for (const size_t at : {0, 17, 999}) {
    std::vector<int64_t> other = ids;
    other[at] = ids[(at + 1) % 1000];
    EXPECT_EQ(Of(other).count, 1000);
    EXPECT_FALSE(Of(other) == all);
  }
  EXPECT_FALSE(Of({0, 3}) == Of({1, 2}));  // as sums of plain ids would be
  EXPECT_EQ(Of({}), Ledger::OfAll(0));
  // A thousand numbers below 2^64 add up to some 500 times that.
  EXPECT_NEAR(static_cast<double>(all.high), 500.0, 50.0);
}

// What somebody else used of an epoch is not known to who goes on there, nor to a checkpoint.
TEST(LedgerTest, OfHalfAnEpochIsNotSaved) {
  CheckpointContents contents;
  EpochLedger ledger;
  ledger.Save(&contents);
  EXPECT_EQ(contents.Integer("data/ledger_count"), 0);
  contents = {};
  ledger.GoOnFrom({.epoch = 0, .offset = 5});
  ledger.Save(&contents);
  EXPECT_TRUE(contents.values.empty());
}

TEST(LedgerTest, ComesBackFromItsText) {
  const Ledger ledger = Ledger::OfAll(70);
  EXPECT_EQ(ledger.ToString().size(), 32U);
  EXPECT_EQ(Ledger::Parse(ledger.ToString(), 70), ledger);
  EXPECT_EQ(Ledger::Parse(Ledger().ToString(), 0), Ledger());
  for (const std::string bad :
       {"", "12", "0x0000000000000000000000000000zz", "00000000000000000000000000000000 "}) {
    EXPECT_THROW(Ledger::Parse(bad, 1), FormatError) << bad;
  }
}

struct Setting {
  const char* name;
  int lanes;
  bool sharded;
};

class TrainingLedger : public ::testing::TestWithParam<Setting> {
 protected:
  // The source of this rank, changed in its `batch`th batch when that has rows.
  static JobOptions Lying(JobOptions job, int64_t batch, const WrappedSource::Change& change) {
    job.wrap = [=](BatchSource& source) {
      return std::make_unique<WrappedSource>(
          source, [=, at = int64_t{0}](Batch* next, std::vector<int64_t>* ids) mutable {
            if (at++ == batch && next->rows > 1) change(next, ids);
          });
    };
    return job;
  }
  JobOptions options(int64_t samples = 150) const {
    JobOptions job{.samples = samples, .sharded = GetParam().sharded};
    job.network.lanes = GetParam().lanes;
    return job;
  }
};

// 150: an uneven tail; 129: one sample in it, so that most ranks have nothing of it.
TEST_P(TrainingLedger, IsThatOfAllSamplesOnAnyNumberOfRanks) {
  for (const int64_t samples : {128, 129, 150}) {
    for (const int ranks : {1, 2, 3, 4}) {
      OnRanks(ranks, [&](Communicator& communicator) {
        CommGroup group(communicator);
        JobOptions job = options(samples);
        Trainer* trainer = nullptr;
        std::optional<Ledger> ledger;
        job.prepare = [&](Trainer& made) { trainer = &made; };
        job.wrap = [&](BatchSource& source) {
          return std::make_unique<WrappedSource>(source, [&](Batch* batch, std::vector<int64_t>*) {
            if (batch->epoch == 1) ledger = trainer->epoch_ledger();
          });
        };
        RunJob(job, &group);
        ASSERT_TRUE(ledger);
        EXPECT_EQ(*ledger, Ledger::OfAll(samples)) << ranks << " ranks";
      });
    }
  }
}

TEST_P(TrainingLedger, NoticesASampleThatIsUsedTwice) {
  for (const int ranks : {1, 2, 3, 4}) {
    const JobOptions job =
        Lying(options(), 4, [](Batch*, std::vector<int64_t>* ids) { (*ids)[0] = (*ids)[1]; });
    const std::string error = ErrorOf<AgreedError>(job, ranks);
    EXPECT_THAT(error, HasSubstr("70: epoch 2 did not use each of 150 samples once: as many were "
                                 "used, but some more than once and others not (ledger "));
    EXPECT_THAT(error, HasSubstr(Ledger::OfAll(150).ToString()));
  }
}

// One rank alone, of whose part nobody else knows.
TEST_P(TrainingLedger, NoticesOneRankThatUsesASampleTwice) {
  for (const int ranks : {2, 4}) {
    for (const int lying : {0, ranks - 1}) {
      std::vector<std::string> errors(static_cast<size_t>(ranks));
      OnRanks(ranks, [&](Communicator& communicator) {
        CommGroup group(communicator);
        JobOptions job = options();
        if (communicator.rank() == lying) {
          job = Lying(job, 1, [](Batch*, std::vector<int64_t>* ids) { (*ids)[0] = (*ids)[1]; });
        }
        try {
          RunJob(job, &group);
        } catch (const AgreedError& error) {
          errors[static_cast<size_t>(communicator.rank())] = error.what();
        }
      });
      for (const std::string& error : errors) {
        EXPECT_THAT(error,
                    HasSubstr("epoch 1 did not use each of 150 samples once: as many were "));
      }
    }
  }
}

// What the first rank drops others do not make up for.
TEST_P(TrainingLedger, NoticesSamplesThatAreLeftOut) {
  if (GetParam().lanes > 0) return;  // lanes have fixed numbers of rows
  for (const int ranks : {1, 2, 3, 4}) {
    const JobOptions job = Lying(options(), 0, [](Batch* batch, std::vector<int64_t>* ids) {
      --batch->rows;
      ids->pop_back();
    });
    EXPECT_THAT(ErrorOf<AgreedError>(job, ranks),
                HasSubstr("70: epoch 1 did not use each of 150 samples once: " +
                          std::to_string(150 - ranks) + " were used"));
  }
}

// Behind step 4 of 3 an epoch: one batch of the second is used.
TEST_P(TrainingLedger, GoesOnOnAnotherNumberOfRanks) {
  if (GetParam().sharded) return;  // goes on with the same parts only
  class Keep : public Extension {
   public:
    explicit Keep(CheckpointContents* kept) : kept_(kept) {}
    std::string name() const override { return "keep"; }
    Trigger trigger() const override { return Trigger::Iterations(4); }
    void Invoke(Trainer& trainer) override { *kept_ = CopyState(trainer); }

   private:
    CheckpointContents* kept_;
  };
  CheckpointContents kept;
  const auto keep_on_first = [&](Trainer& trainer) {
    if (trainer.network().group().rank() == 0) trainer.Extend(std::make_unique<Keep>(&kept));
  };
  JobOptions job = options();
  job.prepare = keep_on_first;
  RunJobOnThreads(job, 2);
  EXPECT_EQ(kept.Integer("data/ledger_count"), 64);
  EXPECT_EQ(kept.Integer("data/offset"), 64);
  for (const int ranks : {1, 3, 4}) {
    job.prepare = [&](Trainer& trainer) { trainer.Restore(kept); };
    EXPECT_EQ(ErrorOf<AgreedError>(job, ranks), "");
  }
  // As if other samples had been used before; and of before there were ledgers.
  CheckpointContents other = kept;
  other.values["data/ledger"] = Ledger::OfAll(64).ToString();
  job.prepare = [&](Trainer& trainer) { trainer.Restore(other); };
  EXPECT_THAT(ErrorOf<AgreedError>(job, 3), HasSubstr("70: epoch 2 did not use each"));
  other.values.erase("data/ledger");
  EXPECT_EQ(ErrorOf<AgreedError>(job, 3), "");
  other.values["data/ledger"] = std::string("12");
  try {
    RunJob(job);
    ADD_FAILURE() << "a damaged ledger was taken";
  } catch (const FormatError& error) {
    EXPECT_THAT(error.what(), HasSubstr("not 32 hexadecimal digits"));
  }
}

INSTANTIATE_TEST_SUITE_P(Of, TrainingLedger,
                         ::testing::Values(Setting{"Fast", 0, false},
                                           Setting{"Reproducible", 4, false},
                                           Setting{"Sharded", 0, true}),
                         [](const auto& info) { return info.param.name; });

// Where incomplete batches are left out, as many are checked as there are.
TEST(TrainingLedgerOfWholeBatches, IsNoErrorWithoutTheTail) {
  Graph graph;
  Var h = Linear(graph.Input("x", {{3}, DType::kFloat32}), {.out = 2}, "l");
  graph.SetLoss(SoftmaxCrossEntropy(h, graph.Input("t", {Shape({}), DType::kInt32})));
  const auto backend = MakeCpuBackend(1);
  DatasetSource source({Tensor(DType::kFloat32, {22, 3}), Tensor(DType::kInt32, {22}), {}},
                       {.batch_size = 5, .drop_last = true});
  Network network(graph, *backend);
  Updater updater(network.variables(), *backend, MakeSgd(), {});
  const auto schedule = MakeConstantSchedule();
  LocalSync sync;
  Trainer trainer(network, source, updater, *schedule, sync, {.epochs = 2, .learning_rate = 0.1});
  trainer.Run();
  EXPECT_EQ(trainer.epoch_ledger()->count, 20);
  // Somebody else who takes of the source makes the rest of the epoch unknown, not an error.
  source.Next();
  for (int i = 0; i < 3; ++i) trainer.Step();
  EXPECT_FALSE(trainer.epoch_ledger());
  for (int i = 0; i < 4; ++i) trainer.Step();
  EXPECT_TRUE(trainer.epoch_ledger());
}

}  // namespace
}  // namespace lockstep::testing
