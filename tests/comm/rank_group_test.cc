#include "engine/train/rank_group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <new>
#include <stdexcept>
#include <string>
#include <system_error>

#include "comm/comm_group.h"
#include "tests/comm/ranks.h"

namespace lockstep::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;

// What every one of three ranks throws where rank 1 and rank 2 have met something: "code: text".
template <typename Thrown>
std::string AgreedOn(const Thrown& met) {
  std::vector<std::string> told(3);
  OnRanks(3, [&](Communicator& communicator) {
    CommGroup group(communicator);
    std::exception_ptr mine;
    if (group.rank() == 1) mine = std::make_exception_ptr(met);
    if (group.rank() == 2) mine = std::make_exception_ptr(IoError("something else"));
    try {
      AgreeOnFailure(group, mine);
    } catch (const AgreedError& error) {
      told[static_cast<size_t>(group.rank())] =
          std::to_string(static_cast<int>(error.code())) + ": " + error.what();
    }
  });
  EXPECT_THAT(told, ::testing::Each(told[0]));
  return told[0];
}

TEST(AgreeOnFailure, AllThrowWhatTheFirstHasMet) {
  EXPECT_EQ(AgreedOn(IoError("no such channel", ExitCode::kNoInput)),
            "66: rank 1: no such channel");
  EXPECT_EQ(AgreedOn(std::bad_alloc()), "71: rank 1: out of memory");
  EXPECT_EQ(AgreedOn(std::out_of_range("map::at")), "70: rank 1: internal error: map::at");
  const auto no_thread = std::make_error_code(std::errc::resource_unavailable_try_again);
  EXPECT_THAT(AgreedOn(std::system_error(no_thread)), StartsWith("71: rank 1: no more threads: "));
}

TEST(AgreeOnFailure, OneRankThrowsWhatItHasMetItself) {
  OneRank alone;
  EXPECT_NO_THROW(AgreeOnFailure(alone, nullptr));
  EXPECT_THROW(AgreeOnFailure(alone, std::make_exception_ptr(std::out_of_range("map::at"))),
               std::out_of_range);
}

TEST(RankGroup, TextsOfAnyLengthTravel) {
  OnRanks(3, [](Communicator& communicator) {
    CommGroup group(communicator);
    const std::string mine(static_cast<size_t>(2 * group.rank()), 'x');
    EXPECT_THAT(GatherTexts(group, mine), ElementsAre("", "xx", "xxxx"));
    EXPECT_EQ(BroadcastText(group, mine, 2), "xxxx");
    EXPECT_EQ(BroadcastText(group, mine, 0), "");
    EXPECT_TRUE(AnyRank(group, group.rank() == 2));
    EXPECT_FALSE(AnyRank(group, false));
  });
}

}  // namespace
}  // namespace lockstep::testing
