#include "comm/nccl/gpu_place.h"

#include <gmock/gmock.h>

#include "comm/comm_group.h"
#include "comm/nccl/nccl_communicator.h"
#include "kernels/error.h"
#include "tests/comm/ranks.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Refusal(const std::vector<GpuPlace>& of_rank) {
  try {
    RequireOwnGpus(of_rank);
  } catch (const AgreedError& error) {
    EXPECT_EQ(error.code(), ExitCode::kBadCluster);
    return error.what();
  }
  return "";
}

TEST(RequireOwnGpus, TakesGpusOfOtherHostsWithTheSameName) {
  EXPECT_EQ(Refusal({{"a", "cuda:0", "1f"}, {"a", "cuda:1", "2f"}, {"b", "cuda:0", "3f"}}), "");
}

TEST(RequireOwnGpus, NamesBothRanksTheGpuAndTheHost) {
  EXPECT_THAT(Refusal({{"a", "cuda:0", "1f"},
                       {"algo-2", "cuda:0", "2f"},
                       {"a", "cuda:1", "3f"},
                       {"algo-2", "cuda:0", "2f"}}),
              AllOf(HasSubstr("ranks 1 and 3 have the same GPU, cuda:0 of host algo-2"),
                    HasSubstr("--communicator naive"), Not(HasSubstr("\n"))));
}

TEST(GatherPlaces, GivesEveryRankThoseOfAll) {
  testing::OnRanks(3, [](Communicator& ranks) {
    CommGroup group(ranks);
    const std::string own = std::to_string(ranks.rank());
    const std::string host(static_cast<size_t>(ranks.rank()), 'h');  // empty, too
    const std::vector<GpuPlace> places = GatherPlaces(group, {host, "cuda:" + own, own + "f"});
    ASSERT_EQ(places.size(), 3U);
    EXPECT_EQ(places[0].host, "");
    EXPECT_EQ(places[2].host, "hh");
    EXPECT_EQ(places[1].name, "cuda:1");
    EXPECT_EQ(places[2].uuid, "2f");
  });
}

TEST(PlaceForNccl, RefusesADeviceThatIsNoGpu) {
  const auto cpu = MakeCpuBackend(1);
  try {
    PlaceForNccl(*cpu);
    ADD_FAILURE();
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.code(), ExitCode::kUsage);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("NCCL"), HasSubstr("--communicator naive")));
  }
}

}  // namespace
}  // namespace lockstep
