// The contract on one rank, on threads and on processes that share memory.
#include "tests/comm/contract.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "comm/self_communicator.h"
#include "comm/thread/thread_communicator.h"

namespace lockstep::testing {
namespace {

using Case = std::tuple<int, Check>;

std::string CaseName(const ::testing::TestParamInfo<Case>& info) {
  return std::string(std::get<1>(info.param).name) + "_" + std::to_string(std::get<0>(info.param));
}

const auto kSizes = ::testing::Values(1, 2, 3, 4, 5, 7);
const auto kContract = ::testing::ValuesIn(ContractChecks().begin(), ContractChecks().end());

class SelfContract : public ::testing::TestWithParam<Case> {};
class ThreadContract : public ::testing::TestWithParam<Case> {};

TEST_P(SelfContract, Holds) {
  const auto self = MakeSelfCommunicator();
  EXPECT_EQ(self->name(), "self");
  std::get<1>(GetParam()).run(*self);
}

TEST_P(ThreadContract, Holds) {
  const auto& [size, check] = GetParam();
  std::vector<std::thread> threads;
  for (auto& communicator : MakeThreadCommunicators(size)) {
    threads.emplace_back([run = check.run, c = std::move(communicator)]() mutable {
      run(*c);
      c.reset();
    });
  }
  for (std::thread& thread : threads) thread.join();
}

INSTANTIATE_TEST_SUITE_P(Of, SelfContract, ::testing::Combine(::testing::Values(1), kContract),
                         CaseName);
INSTANTIATE_TEST_SUITE_P(Of, ThreadContract, ::testing::Combine(kSizes, kContract), CaseName);

}  // namespace
}  // namespace lockstep::testing
