#include <gtest/gtest.h>
#include <pthread.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <numeric>
#include <system_error>
#include <thread>

#include "data/batch_iterator.h"
#include "data/batch_schedule.h"
#include "data/epoch_order.h"
#include "data/run_threads.h"
#include "data/synthetic.h"
#include "kernels/backend.h"
#include "tests/data/expect_error.h"

namespace lockstep {
namespace {

// Row r holds r * width ... in float32, label r.
Dataset Numbered(int64_t rows, int64_t width) {
  Tensor features(DType::kFloat32, {rows, width});
  const auto x = features.values<float>();
  std::iota(x.begin(), x.end(), 0.0F);
  Tensor labels(DType::kInt32, {rows});
  const auto y = labels.values<int32_t>();
  std::iota(y.begin(), y.end(), 0);
  return Dataset(features, labels, {{"numbers.npz", rows}});
}

// Every batch of the next epoch, checked against the data set.
std::vector<std::vector<int64_t>> TakeEpoch(DatasetSource* source) {
  std::vector<std::vector<int64_t>> batches;
  const auto stored = source->dataset().features().values<float>();
  const int64_t width = source->dataset().features().shape().row_size();
  const int64_t first = source->dataset().labels().values<int32_t>()[0];  // of a part
  for (bool last = false; !last;) {
    const Batch& batch = source->Next();
    last = batch.last_of_epoch;
    EXPECT_EQ(batch.rows, static_cast<int64_t>(batch.ids.size()));
    batches.emplace_back(batch.ids.begin(), batch.ids.end());
    const auto* x = static_cast<const float*>(batch.x);
    const auto* y = static_cast<const int32_t*>(batch.labels);
    for (int64_t row = 0; row < batch.rows; ++row) {
      const int64_t id = batch.ids[static_cast<size_t>(row)];
      EXPECT_EQ(y[row], id);
      EXPECT_TRUE(std::equal(x + row * width, x + (row + 1) * width,
                             stored.begin() + (id - first) * width));
    }
  }
  return batches;
}

std::vector<int64_t> Join(const std::vector<std::vector<int64_t>>& batches) {
  std::vector<int64_t> ids;
  for (const auto& batch : batches) ids.insert(ids.end(), batch.begin(), batch.end());
  return ids;
}

std::vector<int64_t> Sorted(std::vector<int64_t> ids) {
  std::sort(ids.begin(), ids.end());
  return ids;
}

std::vector<int64_t> Identity(int64_t size) {
  std::vector<int64_t> ids(static_cast<size_t>(size));
  std::iota(ids.begin(), ids.end(), 0);
  return ids;
}

// While it lives, no thread can be started: the stack that each would get fits into no machine.
class NoMoreThreads {
 public:
  NoMoreThreads() {
    pthread_getattr_default_np(&before_);
    pthread_attr_t huge;
    pthread_attr_init(&huge);
    pthread_attr_setstacksize(&huge, size_t{1} << 46);
    EXPECT_EQ(pthread_setattr_default_np(&huge), 0);
    pthread_attr_destroy(&huge);
  }
  ~NoMoreThreads() {
    pthread_setattr_default_np(&before_);
    pthread_attr_destroy(&before_);
  }

 private:
  pthread_attr_t before_;
};

TEST(EpochOrder, IsAPermutationOfSeedAndEpoch) {
  for (const int64_t size : {0, 1, 2, 3, 7, 100, 1009}) {
    const auto order = EpochOrder(5, 3, size);
    EXPECT_EQ(Sorted(order), Identity(size));
    EXPECT_EQ(order, EpochOrder(5, 3, size));
  }
  EXPECT_NE(EpochOrder(5, 3, 100), EpochOrder(5, 4, 100));
  EXPECT_NE(EpochOrder(5, 3, 100), EpochOrder(6, 3, 100));
}

TEST(EpochOrder, StaysTheSameForEver) {
  // A changed order would change every model trained with the same seed.
  EXPECT_EQ(EpochOrder(0, 0, 10), (std::vector<int64_t>{2, 9, 1, 6, 8, 7, 3, 0, 5, 4}));
  EXPECT_EQ(EpochOrder(42, 7, 5), (std::vector<int64_t>{3, 4, 2, 1, 0}));
}

TEST(EpochOrder, EveryPermutationIsAboutEquallyLikely) {
  std::map<std::vector<int64_t>, int> seen;
  constexpr int kDraws = 24000;
  for (int epoch = 0; epoch < kDraws; ++epoch) ++seen[EpochOrder(1, epoch, 4)];
  EXPECT_EQ(seen.size(), 24U);
  // 1000 each, standard deviation 31.
  for (const auto& [order, count] : seen) EXPECT_NEAR(count, kDraws / 24, 160);
}

struct Sizes {
  int64_t rows, width, batch;
  int threads;
};

class SourceSizes : public testing::TestWithParam<Sizes> {};

TEST_P(SourceSizes, UseEverySampleOnceAnEpoch) {
  const auto [rows, width, batch, threads] = GetParam();
  DatasetSource source(Numbered(rows, width),
                       {.batch_size = batch, .seed = 9, .threads = threads, .prefetch = 3});
  EXPECT_EQ(source.batches_per_epoch(), (rows + batch - 1) / batch);
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    EXPECT_EQ(source.position(), (SourcePosition{epoch, 0}));
    const auto batches = TakeEpoch(&source);
    EXPECT_EQ(static_cast<int64_t>(batches.size()), source.batches_per_epoch());
    EXPECT_EQ(Join(batches), EpochOrder(9, epoch, rows));
    for (size_t i = 0; i + 1 < batches.size(); ++i) {
      EXPECT_EQ(static_cast<int64_t>(batches[i].size()), batch);
    }
  }
}

TEST_P(SourceSizes, SlicesOfRanksMakeUpTheGlobalBatches) {
  const auto [rows, width, batch, threads] = GetParam();
  DatasetSource whole(Numbered(rows, width), {.batch_size = batch, .seed = 9, .threads = 0});
  const auto wanted = TakeEpoch(&whole);
  for (int ranks = 1; ranks <= 4; ++ranks) {
    std::vector<std::vector<int64_t>> joined(wanted.size());
    for (int rank = 0; rank < ranks; ++rank) {
      DatasetSource part(
          Numbered(rows, width),
          {.batch_size = batch, .seed = 9, .rank = rank, .ranks = ranks, .threads = threads});
      const auto batches = TakeEpoch(&part);
      ASSERT_EQ(batches.size(), wanted.size());
      for (size_t i = 0; i < wanted.size(); ++i) {
        EXPECT_LE(static_cast<int64_t>(batches[i].size()), part.max_rows());
        joined[i].insert(joined[i].end(), batches[i].begin(), batches[i].end());
      }
    }
    EXPECT_EQ(joined, wanted);
  }
}

TEST_P(SourceSizes, SeekIsExact) {
  const auto [rows, width, batch, threads] = GetParam();
  const SourceOptions options{.batch_size = batch, .seed = 4, .threads = threads};
  DatasetSource straight(Numbered(rows, width), options);
  DatasetSource jumping(Numbered(rows, width), options);
  for (int i = 0; i < 7; ++i) {
    jumping.Next();
    jumping.Seek(straight.position());
    EXPECT_EQ(jumping.position(), straight.position());
    const Batch& a = straight.Next();
    const Batch& b = jumping.Next();
    EXPECT_EQ(std::vector(a.ids.begin(), a.ids.end()), std::vector(b.ids.begin(), b.ids.end()));
    EXPECT_EQ(a.epoch, b.epoch);
    EXPECT_EQ(jumping.position(), straight.position());
  }
}

INSTANTIATE_TEST_SUITE_P(Odd, SourceSizes,
                         testing::Values(Sizes{1, 3, 4, 1}, Sizes{7, 7, 3, 1}, Sizes{97, 5, 10, 1},
                                         Sizes{97, 1111, 10, 1}, Sizes{53, 901, 13, 3},
                                         Sizes{64, 1500, 16, 2}, Sizes{10, 9000, 10, 2}),
                         [](const auto& info) {
                           const Sizes& s = info.param;
                           return std::to_string(s.rows) + "x" + std::to_string(s.width) + "_by" +
                                  std::to_string(s.batch) + "_threads" + std::to_string(s.threads);
                         });

TEST(DatasetSource, EvaluationKeepsTheOrderAndTheSmallTail) {
  DatasetSource source(Numbered(10, 2), {.batch_size = 4, .shuffle = false, .repeat = false});
  EXPECT_EQ(TakeEpoch(&source),
            (std::vector<std::vector<int64_t>>{{0, 1, 2, 3}, {4, 5, 6, 7}, {8, 9}}));
  ExpectError(ExitCode::kBug, {"end"}, [&] { source.Next(); });
  source.Seek({0, 0});
  EXPECT_EQ(Join(TakeEpoch(&source)), Identity(10));
}

TEST(DatasetSource, EndIsAlsoSeenBehindPrefetchedBatches) {
  DatasetSource source(Numbered(10, 5000), {.batch_size = 4, .shuffle = false, .repeat = false});
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(Join(TakeEpoch(&source)), Identity(10));
    ExpectError(ExitCode::kBug, {"end"}, [&] { source.Next(); });
    source.Seek({0, 0});
  }
}

TEST(DatasetSource, DropLastLeavesOutTheTail) {
  DatasetSource source(Numbered(10, 2), {.batch_size = 4, .drop_last = true});
  const auto batches = TakeEpoch(&source);
  EXPECT_EQ(batches.size(), 2U);
  EXPECT_EQ(source.position(), (SourcePosition{1, 0}));
  ExpectError(ExitCode::kBadData, {"numbers.npz", "3 rows", "batch of 4"},
              [] { DatasetSource(Numbered(3, 2), {.batch_size = 4, .drop_last = true}); });
}

TEST(DatasetSource, FewerRowsThanABatchAreOneBatch) {
  DatasetSource source(Numbered(3, 2), {.batch_size = 64});
  EXPECT_EQ(source.max_rows(), 3);
  EXPECT_EQ(Sorted(Join(TakeEpoch(&source))), Identity(3));
}

TEST(DatasetSource, ImpossibleOptionsAreUsageErrors) {
  const auto make = [](SourceOptions options) {
    ExpectError(ExitCode::kUsage, {}, [&] { DatasetSource(Numbered(5, 2), options); });
  };
  make({.batch_size = 0});
  make({.batch_size = -3});
  make({.rank = 2, .ranks = 2});
  make({.prefetch = 0});
  make({.transform = {.padding = 1}});
  make({.transform = {.mean = {0.1F, 0.2F}}});
  make({.transform = {.dtype = DType::kUint8}});
  DatasetSource source(Numbered(5, 2), {});
  ExpectError(ExitCode::kUsage, {"position 6"}, [&] { source.Seek({0, 6}); });
}

TEST(DatasetSource, BatchesAreAligned) {
  DatasetSource source(SyntheticDataset({3, 5, 7}, 4, 50, 1), {.batch_size = 9});
  for (int i = 0; i < 12; ++i) {
    const Batch& batch = source.Next();
    EXPECT_EQ(reinterpret_cast<uintptr_t>(batch.x) % 64, 0U);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(batch.labels) % 64, 0U);
  }
}

// What the device is to do with them gives what the host would have handed out.
void ExpectStoredRows(const Dataset& dataset, const TransformOptions& transform) {
  const auto backend = MakeCpuBackend(1);
  SourceOptions options{.batch_size = 9, .seed = 3, .transform = transform};
  DatasetSource prepared(dataset, options);
  options.as_stored = true;
  DatasetSource stored(dataset, options);
  EXPECT_EQ(stored.sample_type(), prepared.sample_type());
  const auto* const bytes = static_cast<const uint8_t*>(dataset.features().data());
  const size_t row = stored.dataset().features().bytes() / static_cast<size_t>(dataset.size());
  for (int64_t i = 2 * stored.batches_per_epoch(); i > 0; --i) {
    const Batch& wanted = prepared.Next();
    const Batch& found = stored.Next();
    ASSERT_EQ(wanted.preparation, nullptr);
    ASSERT_NE(found.preparation, nullptr);
    ASSERT_EQ(found.preparation->stored_bytes(), row);
    for (size_t k = 0; k < found.ids.size(); ++k) {
      EXPECT_EQ(std::memcmp(static_cast<const uint8_t*>(found.x) + k * row,
                            bytes + static_cast<size_t>(found.ids[k]) * row, row),
                0);
    }
    const auto epoch = static_cast<uint32_t>(found.epoch);
    Tensor y(DType::kFloat32, {found.rows, stored.sample_type().shape.size()});
    backend->picture().Prepare(DType::kFloat32, found.preparation->cut, found.rows,
                               {&epoch, found.ids.data()}, found.preparation->table.data(),
                               static_cast<const uint8_t*>(found.x), y.data());
    EXPECT_EQ(std::memcmp(y.data(), wanted.x, y.bytes()), 0);
  }
}

TEST(DatasetSource, BytesMayBeHandedOutAsStored) {
  const Dataset pictures = SyntheticDataset({3, 9, 7}, 4, 40, 1, DType::kUint8);
  ExpectStoredRows(pictures, {});
  ExpectStoredRows(pictures, {.mean = {0.1F, 0.2F, 0.3F}, .deviation = {0.5F}});
  ExpectStoredRows(pictures, {.padding = 2, .crop = 7, .random_crop = true, .flip = true});
  ExpectStoredRows(SyntheticDataset({35}, 4, 40, 1, DType::kUint8), {.mean = {0.5F}});
}

TEST(DatasetSource, WhatIsNoByteOrStaysOneOrGetsSmallerIsPreparedHere) {
  const auto prepares = [](DType stored, DType fed, int64_t crop = 0) {
    DatasetSource source(
        SyntheticDataset({3, 9, 7}, 4, 40, 1, stored),
        {.transform = {.dtype = fed, .padding = 1, .crop = crop}, .as_stored = true});
    return source.Next().preparation == nullptr;
  };
  EXPECT_TRUE(prepares(DType::kUint8, DType::kFloat32, 3));  // 108 bytes of 189
  EXPECT_FALSE(prepares(DType::kUint8, DType::kFloat32, 4));
  EXPECT_TRUE(prepares(DType::kFloat32, DType::kFloat32));
  EXPECT_TRUE(prepares(DType::kUint8, DType::kUint8));
  EXPECT_FALSE(prepares(DType::kUint8, DType::kFloat64));
}

TEST(DatasetSource, BatchesComeWithoutThreadsToPrepareThem) {
  const Dataset dataset = Numbered(1009, 301);
  const SourceOptions options{.batch_size = 97, .seed = 9, .threads = 2};
  DatasetSource alone(dataset, options);
  const NoMoreThreads none;
  ASSERT_THROW(std::thread([] {}).join(), std::system_error);
  for (int epoch = 0; epoch < 2; ++epoch) EXPECT_EQ(Join(TakeEpoch(&alone)).size(), 1009U);
  alone.Seek({.epoch = 0, .offset = 0});
  EXPECT_EQ(Join(TakeEpoch(&alone)), EpochOrder(9, 0, 1009));
}

TEST(RunThreads, DoesEveryJobWithoutThreads) {
  const NoMoreThreads none;
  std::vector<int> done(50);
  RunThreads(done.size(), 4, [&](size_t i) { ++done[i]; });
  EXPECT_EQ(done, std::vector<int>(50, 1));
}

// A part of the last, smaller batch may be larger than that of a full one.
TEST(DatasetSource, NoPartIsLargerThanTheLargest) {
  for (const int lanes : {0, 1, 3, 5, 8}) {
    for (const int64_t lane_rows : {1, 8}) {
      for (int ranks = 1; ranks <= 7; ++ranks) {
        for (int64_t size = 16; size <= 31; ++size) {
          int64_t handed_out = 0;
          for (int rank = 0; rank < ranks; ++rank) {
            BatchSchedule schedule({.size = size,
                                    .batch_size = 16,
                                    .rank = rank,
                                    .ranks = ranks,
                                    .cut = {.lanes = lanes, .min_lane_rows = lane_rows}});
            for (bool last = false; !last;) {
              const ScheduledBatch batch = schedule.Next();
              EXPECT_LE(static_cast<int64_t>(batch.ids.size()), schedule.largest_part())
                  << lanes << " lanes, rank " << rank << " of " << ranks << ", " << size;
              handed_out += static_cast<int64_t>(batch.ids.size());
              last = batch.last_of_epoch;
            }
          }
          EXPECT_EQ(handed_out, size);
        }
      }
    }
  }
}

// Ranks that have parts of those sizes of as many numbered rows.
std::vector<std::unique_ptr<DatasetSource>> PartSources(const std::vector<int64_t>& parts,
                                                        int64_t batch) {
  const Shards shards{.rows = parts, .fingerprint = 17};
  std::vector<std::unique_ptr<DatasetSource>> sources;
  for (int rank = 0; rank < static_cast<int>(parts.size()); ++rank) {
    const int64_t first = shards.first(rank);
    sources.push_back(std::make_unique<DatasetSource>(
        Numbered(shards.total(), 3).Slice(first, first + parts[static_cast<size_t>(rank)]),
        SourceOptions{.batch_size = batch,
                      .seed = 9,
                      .rank = rank,
                      .ranks = static_cast<int>(parts.size()),
                      .shards = shards}));
  }
  return sources;
}

TEST(Shards, AllUseTheirPartOnceInEquallyManyBatches) {
  for (const std::vector<int64_t>& parts : std::vector<std::vector<int64_t>>{
           {70}, {35, 35}, {1, 69}, {69, 1}, {1, 1, 68}, {50, 13, 6, 1}, {1, 1, 1, 1}}) {
    for (const int64_t batch : {4, 7, 16, 70, 1000}) {
      const auto sources = PartSources(parts, batch);
      const int64_t total = sources[0]->size();
      const auto ranks = static_cast<int64_t>(parts.size());
      std::vector<int64_t> before;
      for (int epoch = 0; epoch < 2; ++epoch) {
        std::vector<int64_t> used, of_batch;
        for (size_t rank = 0; rank < parts.size(); ++rank) {
          const auto batches = TakeEpoch(sources[rank].get());
          of_batch.resize(std::max(of_batch.size(), batches.size()));
          ASSERT_EQ(batches.size(), static_cast<size_t>((total + batch - 1) / batch));
          for (size_t i = 0; i < batches.size(); ++i) {
            of_batch[i] += std::ssize(batches[i]);
            EXPECT_TRUE(std::ssize(batches[i]) == sources[rank]->max_rows() ||
                        std::ssize(batches[i]) == sources[rank]->tail_rows());
          }
          const std::vector<int64_t> ids = Join(batches);
          used.insert(used.end(), ids.begin(), ids.end());
        }
        EXPECT_EQ(Sorted(used), Identity(total));
        EXPECT_NE(used, before) << "the same order again";
        if (total > 4) before = used;
        for (const int64_t rows : of_batch) {
          EXPECT_GT(rows, 0);
          EXPECT_LT(rows, batch + ranks);
        }
      }
    }
  }
}

TEST(Shards, GoOnBehindEveryBatch) {
  const auto sources = PartSources({50, 13, 6, 1}, 7);
  const auto again = PartSources({50, 13, 6, 1}, 7);
  for (int step = 0; step < 25; ++step) {
    int64_t rows = 0, of_rows = 0;
    for (size_t rank = 0; rank < sources.size(); ++rank) {
      again[rank]->Seek(sources[rank]->position());
      const Batch& batch = sources[rank]->Next();
      const Batch& other = again[rank]->Next();
      EXPECT_TRUE(
          std::equal(batch.ids.begin(), batch.ids.end(), other.ids.begin(), other.ids.end()));
      EXPECT_EQ(batch.last_of_epoch, other.last_of_epoch);
      EXPECT_EQ(sources[rank]->position(), sources[0]->position());
      rows += batch.rows;
      of_rows = batch.of_rows;
    }
    EXPECT_EQ(rows, of_rows);
  }
  const int64_t whole = sources[0]->size();
  EXPECT_THROW(again[0]->Seek({0, 1}), ConfigError);
  EXPECT_THROW(again[0]->Seek({0, whole + 1}), ConfigError);
}

TEST(Shards, AreOneDataSet) {
  const auto sources = PartSources({2, 3}, 2);
  EXPECT_EQ(sources[1]->size(), 5);
  EXPECT_EQ(sources[0]->fingerprint(), 17U);
  EXPECT_EQ(sources[1]->fingerprint(), 17U);
  EXPECT_EQ(sources[1]->Describe(2), "numbers.npz row 2");
  EXPECT_EQ(sources[1]->Describe(1), "row 1 of all ranks");
  EXPECT_THROW(PartSources({2, 3}, 1), ConfigError);
}

}  // namespace
}  // namespace lockstep
