// The contract on the ranks that mpirun started: mpi_contract TRANSPORT [RANKS_PER_HOST] NAME,
// where NAME is what the communicator must call itself.
#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <vector>

#include "comm/world.h"
#include "kernels/backend.h"
#include "kernels/cpu/cores.h"
#include "tests/comm/contract.h"

namespace lockstep::testing {
namespace {

Communicator* world = nullptr;  // main's

class MpiContract : public ::testing::TestWithParam<Check> {};

TEST_P(MpiContract, Holds) {
  GetParam().run(*world);
  world->Barrier();  // an output's order shows which test failed
}

INSTANTIATE_TEST_SUITE_P(Of, MpiContract,
                         ::testing::ValuesIn(ContractChecks().begin(), ContractChecks().end()),
                         [](const ::testing::TestParamInfo<Check>& info) {
                           return std::string(info.param.name);
                         });

// mpirun gives each rank of two a core of its own, and all ranks of more all cores.
TEST(MpiWorld, RanksThatRunOnTheSameCoresDivideThem) {
  cpu_set_t mine;
  CPU_ZERO(&mine);
  ASSERT_EQ(sched_getaffinity(0, sizeof mine, &mine), 0);
  std::vector<cpu_set_t> sets(static_cast<size_t>(world->size()));
  world->Allgather(&mine, sizeof mine, sets.data());
  const auto sharers = std::count_if(sets.begin(), sets.end(), [&](const cpu_set_t& other) {
    return CPU_EQUAL(&other, &mine) != 0;
  });
  const int share = std::max(1, cpu::UsableCores() / static_cast<int>(sharers));
  EXPECT_EQ(MakeCpuBackend()->threads(), share);
  EXPECT_EQ(MakeCpuBackend(3)->threads(), 3);
  world->Barrier();
}

int Run(const char* transport, int ranks_per_host, const std::string& name) {
  const auto made =
      MakeWorld({.transport = TransportOf(transport), .ranks_per_host = ranks_per_host});
  if (made->name() != name) {
    std::fprintf(stderr, "'%s' instead of '%s'\n", made->name().c_str(), name.c_str());
    return 1;
  }
  if (ranks_per_host > 0) {
    const int first = made->rank() / ranks_per_host * ranks_per_host;
    const int there = std::min(ranks_per_host, made->size() - first);
    if (made->local_rank() != made->rank() - first || made->local_size() != there) {
      std::fprintf(stderr, "rank %d is %d of %d on its host\n", made->rank(), made->local_rank(),
                   made->local_size());
      return 1;
    }
  }
  world = made.get();
  return RUN_ALL_TESTS();
}

}  // namespace
}  // namespace lockstep::testing

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  if (argc != 4) return 64;
  try {
    return lockstep::testing::Run(argv[1], std::atoi(argv[2]), argv[3]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
