// What ranks of one host tell each other when something is wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "comm/local/meeting.h"
#include "comm/thread/thread_communicator.h"
#include "kernels/cpu/cores.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

// What fn threw on each of two ranks.
std::vector<std::string> ErrorsOfTwo(const std::function<void(Communicator&)>& fn, ExitCode code) {
  std::vector<std::string> errors(2);
  std::vector<std::thread> threads;
  for (auto& communicator : MakeThreadCommunicators(2)) {
    threads.emplace_back([&, c = std::move(communicator)]() mutable {
      const size_t rank = static_cast<size_t>(c->rank());
      try {
        fn(*c);
      } catch (const CommError& error) {
        errors[rank] = error.what();
        EXPECT_EQ(error.code(), code);
      }
      c.reset();
    });
  }
  for (std::thread& thread : threads) thread.join();
  return errors;
}

TEST(Meeting, SpinsOnlyWhereAllRanksOfTheseCoresHaveOne) {
  std::vector<std::byte> room(Meeting::BytesFor(2) + 128);
  void* memory = room.data();
  size_t space = room.size();
  std::align(128, Meeting::BytesFor(2), memory, space);
  const auto spins = [memory](int neighbours) {
    return Meeting(memory, {.rank = 0, .size = 2, .world_rank = 0, .neighbours = neighbours}, {})
        .spins();
  };
  EXPECT_TRUE(spins(cpu::UsableCores()));
  EXPECT_FALSE(spins(cpu::UsableCores() + 1));
  std::thread bound([&spins] {  // to one core, as a launcher does, however many are online
    cpu_set_t all, one;
    ASSERT_EQ(::sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&one);
    for (int core = 0; CPU_COUNT(&one) == 0; ++core) {
      if (CPU_ISSET(core, &all)) CPU_SET(core, &one);
    }
    ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
    EXPECT_TRUE(spins(1));
    EXPECT_FALSE(spins(2));
  });
  bound.join();
}

TEST(LocalCommunicator, RanksInDifferentCollectivesAreToldSo) {
  const auto errors = ErrorsOfTwo(
      [](Communicator& c) {
        std::vector<float> data(100000);
        if (c.rank() == 0) {
          c.Allreduce(data.data(), 100000, WireType::kFloat32, ReduceOp::kSum);
        } else {
          c.Broadcast(data.data(), 400000, 1);
        }
      },
      ExitCode::kDisagree);
  for (const std::string& error : errors) {
    EXPECT_THAT(error, testing::HasSubstr("ranks disagree"));
    EXPECT_THAT(error, testing::HasSubstr("allreduce of 100000 elements"));
    EXPECT_THAT(error, testing::HasSubstr("broadcast of 400000 elements"));
  }
}

// Rank 1 leaves at once.
TEST(LocalCommunicator, WhoWaitsForSomethingElseNoticesThatARankHasLeft) {
  const auto errors = ErrorsOfTwo(
      [](Communicator& c) {
        while (c.rank() == 0) c.CheckPeers("a wait");
      },
      ExitCode::kPeerLost);
  EXPECT_THAT(errors[0], testing::StartsWith("a wait on rank 0: rank 1 (process "));
  EXPECT_THAT(errors[0], testing::HasSubstr("has left"));
}

TEST(LocalCommunicator, DifferentCountsAreToldOnEveryPath) {
  for (const int64_t count : {1, 100, 100000}) {
    const auto errors = ErrorsOfTwo(
        [&](Communicator& c) {
          std::vector<float> data(100001);
          c.Allreduce(data.data(), count + c.rank(), WireType::kFloat32, ReduceOp::kSum);
        },
        ExitCode::kDisagree);
    for (const std::string& error : errors) {
      EXPECT_THAT(error, testing::HasSubstr("of " + std::to_string(count) + " elements"));
      EXPECT_THAT(error, testing::HasSubstr("of " + std::to_string(count + 1) + " elements"));
    }
  }
}

TEST(LocalCommunicator, WaitingForARankThatLeftFails) {
  const auto errors = ErrorsOfTwo(
      [](Communicator& c) {
        c.Barrier();
        if (c.rank() == 0) c.Barrier();
      },
      ExitCode::kPeerLost);
  EXPECT_THAT(errors[0], testing::HasSubstr("barrier on rank 0: rank 1 (process "));
  EXPECT_THAT(errors[0], testing::HasSubstr("has left"));
  EXPECT_EQ(errors[1], "");
}

TEST(LocalCommunicator, TheFirstReasonToGiveUpIsTold) {
  auto ranks = MakeThreadCommunicators(3);
  ranks[2]->Abort("no space left on device");
  ranks[0]->Abort(std::string(5000, 'x'));
  for (auto& rank : ranks) {
    try {
      rank->Barrier();
      ADD_FAILURE();
    } catch (const CommError& error) {
      EXPECT_THAT(error.what(), testing::EndsWith("rank 2 gave up: no space left on device"));
    }
  }
}

TEST(LocalCommunicator, AGroupHasAtLeastOneRank) {
  EXPECT_THROW(MakeThreadCommunicators(0), ConfigError);
}

}  // namespace
}  // namespace lockstep
