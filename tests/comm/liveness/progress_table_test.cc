#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "comm/liveness/kernel_kills_internal.h"
#include "comm/liveness/progress_table_internal.h"
#include "tests/temporary_directory.h"

namespace lockstep::liveness {
namespace {

using testing::HasSubstr;

constexpr Clock::time_point kNow{std::chrono::hours(1)};
using enum CommProgress::State;

RankState Make(int rank, uint64_t number, CommProgress::State state, uint32_t in_state_ms = 0,
               uint32_t age_ms = 0) {
  RankState made;
  made.rank = rank;
  made.number = number;
  made.state = state;
  made.in_state_ms = in_state_ms;
  made.age_ms = age_ms;
  made.name = "gather";
  return made;
}

std::vector<Peer> Peers(int size) {
  std::vector<Peer> peers;
  for (int i = 0; i < size; ++i) {
    peers.push_back({.host_key = "k", .host_name = "a", .process = 100 + i});
  }
  return peers;
}

bool Nobody(int) { return false; }

TEST(ProgressTable, KeepsWhatWasSaidLast) {
  ProgressTable table(2);
  table.Update(Make(1, 7, kInside, 40, 100), kNow);
  table.Update(Make(1, 5, kInside, 0, 900), kNow);  // told by another rank, and older
  EXPECT_EQ(table.At(1, kNow).number, 7U);
  const RankState later = table.At(1, kNow + Milliseconds(50));
  EXPECT_EQ(later.age_ms, 150U);
  EXPECT_EQ(later.in_state_ms, 40U);
  table.Update(Make(1, 7, kFinished), kNow + Milliseconds(60));
  EXPECT_EQ(table.At(1, kNow).state, kFinished);
  table.Update(Make(2, 1, kInside), kNow);  // there is no such rank
  table.Update(Make(-1, 1, kInside), kNow);
  EXPECT_EQ(table.At(0, kNow).state, kNone);
}

TEST(ProgressTable, TellsOfAllRanksInParts) {
  ProgressTable table(40);
  for (int rank = 0; rank < 40; ++rank) table.Update(Make(rank, 1, kInside), kNow);
  std::set<int> told;
  for (int beat = 0; beat < 3; ++beat) {
    const std::vector<RankState> part = table.NextPart(kMostStates, kNow);
    EXPECT_EQ(part.size(), kMostStates);
    for (const RankState& state : part) told.insert(state.rank);
  }
  EXPECT_EQ(told.size(), 40U);
}

TEST(ProgressTable, TellsOfNobodyWhoHasNotSaidAnything) {
  ProgressTable table(3);
  table.Update(Make(1, 4, kInside), kNow);
  const std::vector<RankState> part = table.NextPart(kMostStates, kNow);
  ASSERT_EQ(part.size(), 1U);
  EXPECT_EQ(part[0].rank, 1);
}

// Who waits for it in the newest collective knows more than who waits in the one before.
TEST(ProgressTable, TheNewestCollectiveIsTheOneThatCounts) {
  const Milliseconds limit(1000);
  ProgressTable table(3);
  table.Update(Make(0, 9, kInside, 1500), kNow);
  table.Update(Make(1, 8, kInside, 1500), kNow);
  table.Update(Make(2, 9, kFinished, 1500), kNow);
  EXPECT_EQ(table.FindMissing(limit, kNow, Nobody), 1);
}

TEST(ProgressTable, FindsWhoDoesNotCome) {
  const Milliseconds limit(1000);
  ProgressTable table(3);
  table.Update(Make(0, 8, kInside, 1500), kNow);
  table.Update(Make(1, 8, kInside, 1500), kNow);
  EXPECT_FALSE(table.FindMissing(limit, kNow, Nobody));  // of rank 2 nothing is known
  table.Update(Make(2, 7, kFinished, 1500), kNow);
  EXPECT_EQ(table.FindMissing(limit, kNow, Nobody), 2);
  EXPECT_FALSE(table.FindMissing(2 * limit, kNow, Nobody));
  EXPECT_EQ(table.FindMissing(2 * limit, kNow + limit, Nobody), 2);
  EXPECT_FALSE(table.FindMissing(limit, kNow, [](int rank) { return rank == 2; }));
  table.Update(Make(2, 8, kInside), kNow + Milliseconds(1));
  EXPECT_FALSE(table.FindMissing(limit, kNow, Nobody));
}

TEST(ProgressTable, FindsWhereNobodyGetsOut) {
  const Milliseconds limit(1000);
  ProgressTable table(3);
  table.Update(Make(0, 8, kInside, 1500), kNow);
  table.Update(Make(1, 8, kInside, 1500), kNow);
  EXPECT_FALSE(table.FindHanging(limit, kNow, Nobody));  // of rank 2 nothing is known
  EXPECT_EQ(table.FindHanging(limit, kNow, [](int rank) { return rank == 2; }), 0);
  table.Update(Make(2, 7, kFinished, 1500), kNow);
  EXPECT_FALSE(table.FindHanging(limit, kNow, Nobody));
  table.Update(Make(2, 8, kInside), kNow + Milliseconds(1));
  EXPECT_FALSE(table.FindHanging(limit, kNow, Nobody));
  EXPECT_EQ(table.FindHanging(limit, kNow + limit + Milliseconds(1), Nobody), 0);
  // Its own part is done for some, and these wait in the next one.
  table.Update(Make(0, 9, kInside), kNow + Milliseconds(2));
  EXPECT_EQ(table.FindHanging(limit, kNow + limit + Milliseconds(2), Nobody), 1);
  EXPECT_FALSE(ProgressTable(0).FindHanging(limit, kNow, Nobody));
}

TEST(RankLostText, NamesRankHostProcessAndEverybodysCollective) {
  ProgressTable table(4);
  table.Update(Make(0, 8, kInside, 1500), kNow);
  table.Update(Make(1, 7, kFinished), kNow);
  table.Update(Make(2, 8, kInside, 200), kNow);
  table.Update(Make(3, 8, kInside), kNow);
  const RankLost died = Describe({.rank = 1, .how = RankLost::How::kDied}, Peers(4), table, kNow);
  EXPECT_EQ(died.rank, 1);
  EXPECT_FALSE(died.told);
  EXPECT_EQ(died.line,
            "rank 1 (process 101 on host a) has died: its connection closed, and it had not "
            "finished; run again, it goes on from its newest checkpoint; last collectives: "
            "ranks 0, 2-3 in gather (no. 8); rank 1 behind gather (no. 7)");
  const RankLost killed =
      Describe({.rank = 1, .how = RankLost::How::kDied, .silent = {}, .short_of_memory = true},
               Peers(4), table, kNow);
  EXPECT_THAT(killed.line, HasSubstr("has died: its connection closed, and it had not finished; "
                                     "likely for want of memory: the system has killed (signal 9) "
                                     "a process of that host since the job began; "));
  EXPECT_THAT(died.table, HasSubstr("  rank 0, process 100 on host a: in gather (no. 8), since "
                                    "1.5 s, told 0.0 s ago\n"));
  const RankLost silent =
      Describe({.rank = 2, .how = RankLost::How::kSilent, .silent = Milliseconds(7250)}, Peers(4),
               table, kNow);
  EXPECT_THAT(silent.line, HasSubstr("has not been heard of for 7.2 s"));
  const RankLost hangs =
      Describe({.rank = 1, .how = RankLost::How::kHangs, .silent = Milliseconds(300000)}, Peers(4),
               table, kNow);
  EXPECT_THAT(hangs.line, HasSubstr("rank 1 (process 101 on host a) is, as all others, inside of a "
                                    "collective that none has got out of for 300.0 s: "));
}

TEST(KernelKillsTest, AreCountedWhereTheSystemDoes) {
  const TemporaryDirectory dir;
  EXPECT_EQ(KernelKills(dir.Write("vmstat", "nr_free_pages 9\noom_kill 12\nswap_ra 0\n")), 12);
  EXPECT_FALSE(KernelKills(dir.Write("old", "nr_free_pages 9\n")));
  EXPECT_FALSE(KernelKills(dir / "none"));
}

TEST(RankLostText, FitsTheFailureFile) {
  constexpr int kRanks = 300;
  ProgressTable table(kRanks);
  for (int rank = 0; rank < kRanks; ++rank) {
    table.Update(Make(rank, static_cast<uint64_t>(rank % 7), kInside), kNow);
  }
  const RankLost lost = Describe({.rank = 1}, Peers(kRanks), table, kNow);
  EXPECT_LE(lost.line.size(), 1000U);
  EXPECT_THAT(lost.line, testing::EndsWith("..."));
}

}  // namespace
}  // namespace lockstep::liveness
