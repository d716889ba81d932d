#include "tools/share_out.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "comm/comm_group.h"
#include "kernels/error.h"
#include "tests/comm/ranks.h"

namespace lockstep::tools {
namespace {

using ::lockstep::testing::OnRanks;
using ::testing::Each;
using ::testing::ElementsAre;

// Rows of one number: first, first + 1, ...
Dataset Numbers(int first, int rows) {
  std::vector<float> values(static_cast<size_t>(rows));
  std::iota(values.begin(), values.end(), static_cast<float>(first));
  return {Tensor::FromValues<float>(Shape({rows, 1}), values),
          Tensor::FromValues<int32_t>(Shape({rows}), std::vector<int32_t>(values.size())),
          {{"numbers.npz", rows}}};
}

struct Shared {
  std::vector<std::vector<float>> values;  // by rank
  std::vector<Shards> shards;
};

// What ranks that have loaded these end with.
Shared ShareOutOf(const std::vector<Dataset>& loaded) {
  Shared shared{.values = std::vector<std::vector<float>>(loaded.size()),
                .shards = std::vector<Shards>(loaded.size())};
  OnRanks(static_cast<int>(loaded.size()), [&](Communicator& communicator) {
    CommGroup group(communicator);
    const auto rank = static_cast<size_t>(group.rank());
    Dataset mine = loaded[rank];
    shared.shards[rank] = ShareOut(group, &mine);
    const auto values = mine.features().values<float>();
    shared.values[rank].assign(values.begin(), values.end());
  });
  return shared;
}

// Ranks 0, 1 and 3 are of one host, whose seven rows they share.
TEST(ShareOut, RanksWithTheSameRowsShareThem) {
  const Shared shared = ShareOutOf({Numbers(0, 7), Numbers(0, 7), Numbers(100, 3), Numbers(0, 7)});
  EXPECT_THAT(shared.values, ElementsAre(ElementsAre(0, 1), ElementsAre(2, 3),
                                         ElementsAre(100, 101, 102), ElementsAre(4, 5, 6)));
  for (const Shards& shards : shared.shards) {
    EXPECT_THAT(shards.rows, ElementsAre(2, 2, 3, 3));
    EXPECT_EQ(shards.fingerprint, shared.shards[0].fingerprint);
  }
}

TEST(ShareOut, TheFingerprintIsThatOfAllPartsInTheirOrder) {
  const auto of = [](const std::vector<Dataset>& loaded) {
    return ShareOutOf(loaded).shards[0].fingerprint;
  };
  const uint64_t whole = of({Numbers(0, 4), Numbers(10, 5)});
  EXPECT_EQ(of({Numbers(0, 4), Numbers(10, 5)}), whole);
  EXPECT_NE(of({Numbers(10, 5), Numbers(0, 4)}), whole);
  EXPECT_NE(of({Numbers(0, 4), Numbers(11, 5)}), whole);
  // The same data in other parts.
  EXPECT_NE(of({Numbers(0, 4), Numbers(0, 4), Numbers(10, 5)}), whole);
}

TEST(ShareOut, FewerRowsThanRanksThatShareThemAreRefusedOnAll) {
  EXPECT_NO_THROW(ShareOutOf({Numbers(0, 2), Numbers(0, 2)}));
  std::vector<std::string> told(3);
  OnRanks(3, [&](Communicator& communicator) {
    CommGroup group(communicator);
    Dataset mine = group.rank() == 0 ? Numbers(10, 5) : Numbers(0, 1);
    try {
      ShareOut(group, &mine);
    } catch (const AgreedError& error) {
      told[static_cast<size_t>(group.rank())] =
          std::to_string(static_cast<int>(error.code())) + ": " + error.what();
    }
  });
  EXPECT_THAT(told, Each("65: 2 processes, rank 1 among them, share a part of the data of 1 row; "
                         "start fewer of them or spread the data more evenly"));
}

}  // namespace
}  // namespace lockstep::tools
