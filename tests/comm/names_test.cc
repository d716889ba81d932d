#include "comm/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "comm/world.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

TEST(TransportOf, ChainerMnsNamesAreKnown) {
  for (const char* name : {"naive", "flat"}) EXPECT_EQ(TransportOf(name), Transport::kMpi);
  for (const char* name :
       {"hierarchical", "two_dimensional", "non_cuda_aware", "pure_nccl", "dummy"}) {
    EXPECT_EQ(TransportOf(name), Transport::kAuto) << name;
  }
  EXPECT_EQ(TransportOf("single_node"), Transport::kShm);
}

TEST(GpuTransportOf, NamesThatWantNcclInsistOnIt) {
  for (const char* name : {"pure_nccl", "single_node"}) {
    EXPECT_EQ(GpuTransportOf(name), GpuTransport::kNccl) << name;
  }
  for (const char* name : {"hierarchical", "two_dimensional"}) {
    EXPECT_EQ(GpuTransportOf(name), GpuTransport::kNcclInHosts) << name;
  }
  for (const char* name : {"naive", "flat", "non_cuda_aware", "mpi", "shm"}) {
    EXPECT_EQ(GpuTransportOf(name), GpuTransport::kHost) << name;
  }
  EXPECT_EQ(GpuTransportOf("auto"), GpuTransport::kAuto);
  EXPECT_THROW(GpuTransportOf("nccl"), ConfigError);
}

TEST(TransportOf, OthersAreRefusedWithTheKnownOnes) {
  try {
    TransportOf("nccl");
    ADD_FAILURE();
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.code(), ExitCode::kUsage);
    for (const std::string& name : TransportNames()) {
      EXPECT_THAT(error.what(), testing::HasSubstr(name));
    }
  }
}

TEST(MakeWorld, IsSelfWithoutALauncher) {
  EXPECT_EQ(LaunchedRanks(), 1);
  EXPECT_EQ(MakeWorld()->name(), "self");
  EXPECT_EQ(MakeWorld({.transport = Transport::kShm})->size(), 1);
}

}  // namespace
}  // namespace lockstep
