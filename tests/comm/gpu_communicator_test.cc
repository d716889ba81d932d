// Sums on GPUs: on those that there are, one rank a GPU; and what is ours of them on the host, with
// a library that looks like NCCL and adds what threads have.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "comm/memory.h"
#include "comm/nccl/gpu_communicator_internal.h"
#include "kernels/error.h"
#include "tests/comm/contract.h"
#include "tests/comm/ranks.h"
#include "tests/comm/values.h"
#include "tests/kernels/far_backend.h"

// What the opaque type of NCCL's is here.
struct ncclComm {
  std::unique_ptr<lockstep::Communicator> ranks;
};

namespace lockstep::testing {
namespace {

using nccl::GpuCommunicator;
using nccl::Members;
using nccl::Nccl;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// What connects the "GPUs": all ranks, of this thread's. Used by nothing else.
thread_local Communicator* fabric = nullptr;
thread_local ncclResult_t state = ncclSuccess;
thread_local bool hangs = false;  // nothing that this thread's device is given is ever done
thread_local int aborted = 0;
std::atomic<int> next_id = 0;
std::atomic<bool> fails_to_invite = false;

ncclResult_t GetUniqueId(ncclUniqueId* id) {
  if (fails_to_invite) return ncclSystemError;
  const int number = next_id++;
  std::memcpy(id->internal, &number, sizeof number);
  return ncclSuccess;
}

ncclResult_t CommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank,
                                ncclConfig_t* config) {
  int number = 0;
  std::memcpy(&number, id.internal, sizeof number);
  *comm = new ncclComm{fabric->Split(number, rank)};
  EXPECT_EQ((*comm)->ranks->size(), ranks);
  EXPECT_EQ((*comm)->ranks->rank(), rank);
  EXPECT_EQ(config->blocking, 0);
  return ncclInProgress;
}

ncclResult_t CommAbort(ncclComm_t comm) {
  ++aborted;
  delete comm;
  return ncclSuccess;
}

ncclResult_t CommGetAsyncError(ncclComm_t, ncclResult_t* result) {
  *result = state;
  return ncclSuccess;
}

const char* GetErrorString(ncclResult_t) { return "remote process exited"; }
const char* GetLastError(ncclComm_t) { return "a socket\nwas closed"; }

WireType WireOf(ncclDataType_t type) {
  for (const WireType wire : kWireTypes) {
    if (nccl::TypeOf(wire) == type) return wire;
  }
  ADD_FAILURE() << "type " << static_cast<int>(type);
  return WireType::kUint8;
}

ReduceOp ReduceOf(ncclRedOp_t op) {
  for (const ReduceOp reduce : kReduceOps) {
    if (nccl::OpOf(reduce) == op) return reduce;
  }
  ADD_FAILURE() << "operation " << static_cast<int>(op);
  return ReduceOp::kSum;
}

ncclResult_t AllReduce(const void* from, void* to, size_t count, ncclDataType_t type,
                       ncclRedOp_t op, ncclComm_t comm, cudaStream_t) {
  EXPECT_EQ(from, to);
  if (hangs) return ncclSuccess;
  comm->ranks->Allreduce(to, static_cast<int64_t>(count), WireOf(type), ReduceOf(op));
  return ncclSuccess;
}

ncclResult_t Reduce(const void* from, void* to, size_t count, ncclDataType_t type, ncclRedOp_t op,
                    int root, ncclComm_t comm, cudaStream_t stream) {
  const ncclResult_t result = AllReduce(from, to, count, type, op, comm, stream);
  // As NCCL may.
  if (comm->ranks->rank() != root) std::memset(to, 0xEE, count * SizeOf(WireOf(type)));
  return result;
}

ncclResult_t Broadcast(const void* from, void* to, size_t count, ncclDataType_t type, int root,
                       ncclComm_t comm, cudaStream_t) {
  EXPECT_EQ(from, to);
  comm->ranks->Broadcast(to, count * SizeOf(WireOf(type)), root);
  return ncclSuccess;
}

Nccl OnThreads() {
  Nccl nccl;
  nccl.GetErrorString = GetErrorString;
  nccl.GetLastError = GetLastError;
  nccl.GetUniqueId = GetUniqueId;
  nccl.CommInitRankConfig = CommInitRankConfig;
  nccl.CommAbort = CommAbort;
  nccl.CommGetAsyncError = CommGetAsyncError;
  nccl.AllReduce = AllReduce;
  nccl.Reduce = Reduce;
  nccl.Broadcast = Broadcast;
  nccl.version = "2.0.0";
  return nccl;
}

constexpr size_t kDeviceBytes = size_t{4} << 20;

// Has some of the host's memory for its device's.
class HostStream {
 public:
  void Enter() const {}
  cudaStream_t handle() const { return nullptr; }
  void Upload(const void* host, void* device, size_t bytes) { std::memcpy(device, host, bytes); }
  void Download(const void* device, void* host, size_t bytes) { std::memcpy(host, device, bytes); }
  void Mark() {}
  bool IsDone() const { return !hangs; }
  std::shared_ptr<std::byte> AllocatePinned(size_t bytes) const { return AllocateZeroed(bytes); }
  bool Holds(const void* memory) const {
    const auto* const at = static_cast<const std::byte*>(memory);
    return at >= memory_.get() && at < memory_.get() + kDeviceBytes;
  }

  std::byte* memory() const { return memory_.get(); }

 private:
  std::shared_ptr<std::byte> memory_ = AllocateZeroed(kDeviceBytes);
};

// One rank on a device that looks like a GPU.
class FakeGpuRank {
 public:
  // Of hosts of `per_host` ranks, which NCCL connects only inside; 0: all.
  FakeGpuRank(Communicator& ranks, int per_host) : fabric_(ranks.Split(0, ranks.rank())) {
    fabric = fabric_.get();
    state = ncclSuccess;
    hangs = false;
    aborted = 0;
    auto stream = std::make_unique<HostStream>();
    stream_ = stream.get();
    const std::string host = per_host == 0 ? "" : std::to_string(ranks.rank() / per_host);
    const NcclRanks connected = per_host == 0 ? NcclRanks::kAll : NcclRanks::kOfAHost;
    communicator_ = std::make_unique<GpuCommunicator<HostStream>>(
        ranks, Members::Of(ranks, connected, host), device_, OnThreads(), std::move(stream));
  }

  Communicator& communicator() { return *communicator_; }
  HostStream& stream() { return *stream_; }
  const Backend& device() const { return device_; }

 private:
  std::unique_ptr<Communicator> fabric_;
  FarBackend device_;  // only which it is matters
  HostStream* stream_ = nullptr;
  std::unique_ptr<Communicator> communicator_;
};

// A group's size, and its hosts'.
using Sizes = std::array<int, 2>;
constexpr Sizes kSizes[] = {{1, 0}, {2, 0}, {3, 0}, {2, 2}, {3, 1}, {3, 2}, {5, 2}};

void RunOn(const Sizes& sizes, const std::function<void(FakeGpuRank&)>& body) {
  OnRanks(sizes[0], [&](Communicator& ranks) {
    FakeGpuRank rank(ranks, sizes[1]);
    body(rank);
  });
}

// To the bit where nothing is rounded.
void ExpectReduced(const std::byte* data, WireType type, ReduceOp op, uint64_t seed, int ranks,
                   int64_t count) {
  const Bytes wanted = SeriallyReduced(type, op, seed, ranks, count);
  const double tolerance = op == ReduceOp::kSum ? SumTolerance(type, ranks) : 0.0;
  if (tolerance == 0.0) {
    EXPECT_TRUE(std::equal(wanted.begin(), wanted.end(), data)) << static_cast<int>(type);
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    ASSERT_NEAR(ElementAt(type, data, i), ElementAt(type, wanted.data(), i), tolerance);
  }
}

TEST(GpuCommunicator, SumsWhatLiesOnTheDevices) {
  for (const Sizes& sizes : kSizes) {
    RunOn(sizes, [&](FakeGpuRank& gpu) {
      Communicator& c = gpu.communicator();
      EXPECT_EQ(c.name(), sizes[1] != 0 && sizes[1] < sizes[0] ? "nccl+mpi" : "nccl");
      std::byte* const data = gpu.stream().memory() + 64;
      uint64_t seed = 1;
      for (const WireType type : kWireTypes) {
        for (const ReduceOp op : kReduceOps) {
          for (const int64_t count : {0, 1, 17, 5000}) {
            const Bytes mine = ValuesOf(type, ++seed, c.rank(), count);
            std::copy(mine.begin(), mine.end(), data);
            c.Allreduce(data, count, type, op);
            ExpectReduced(data, type, op, seed, c.size(), count);
          }
        }
      }
    });
  }
}

// The sums of --reproducible.
TEST(GpuCommunicator, SumsOfIntegersAreExact) {
  for (const Sizes& sizes : kSizes) {
    RunOn(sizes, [](FakeGpuRank& gpu) {
      auto* const value = reinterpret_cast<int64_t*>(gpu.stream().memory());
      *value = (int64_t{1} << 60) + gpu.communicator().rank() + 1;
      gpu.communicator().Allreduce(value, 1, WireType::kInt64, ReduceOp::kSum);
      const int64_t n = gpu.communicator().size();
      EXPECT_EQ(*value, n * (int64_t{1} << 60) + n * (n + 1) / 2);
    });
  }
}

TEST(GpuCommunicator, ReachesItsDeviceAndTheHostAlone) {
  RunOn({2, 0}, [](FakeGpuRank& gpu) {
    EXPECT_TRUE(gpu.communicator().Reaches(gpu.device()));
    EXPECT_TRUE(gpu.communicator().Reaches(*MakeCpuBackend(1)));
    EXPECT_FALSE(gpu.communicator().Reaches(FarBackend()));
  });
}

// All that is not on a device goes as without NCCL.
class HostContract : public ::testing::TestWithParam<Check> {};

TEST_P(HostContract, Holds) {
  RunOn({3, 0}, [](FakeGpuRank& gpu) { GetParam().run(gpu.communicator()); });
}

INSTANTIATE_TEST_SUITE_P(OfGpus, HostContract,
                         ::testing::ValuesIn(ContractChecks().begin(), ContractChecks().end()),
                         [](const auto& info) { return std::string(info.param.name); });

// The error of a sum on the device.
std::string ErrorOnDevice(FakeGpuRank& gpu) {
  try {
    gpu.communicator().Allreduce(gpu.stream().memory(), 10, WireType::kFloat32, ReduceOp::kSum);
  } catch (const CommError& error) {
    EXPECT_EQ(error.code(), ExitCode::kPeerLost);
    return error.what();
  }
  return "";
}

TEST(GpuCommunicator, AnErrorOfNcclIsToldInOneLineAndEndsTheGroup) {
  RunOn({2, 0}, [](FakeGpuRank& gpu) {
    EXPECT_EQ(ErrorOnDevice(gpu), "");
    state = ncclRemoteError;
    EXPECT_THAT(ErrorOnDevice(gpu),
                AllOf(StartsWith("allreduce on rank " + std::to_string(gpu.communicator().rank()) +
                                 ": NCCL 2.0.0: "),
                      HasSubstr("remote process exited (a socket was closed)"),
                      HasSubstr("NCCL_DEBUG=WARN"), Not(HasSubstr("\n"))));
    EXPECT_EQ(aborted, 1);
    state = ncclSuccess;
    EXPECT_THAT(ErrorOnDevice(gpu), HasSubstr("NCCL has failed before"));
    EXPECT_EQ(aborted, 1);
  });
}

TEST(GpuCommunicator, ARankThatGivesUpEndsWaitsForTheDevice) {
  for (const int per_host : {0, 1, 2}) {
    RunOn({3, per_host}, [](FakeGpuRank& gpu) {
      if (gpu.communicator().rank() == 1) {
        gpu.communicator().Abort("the disk is full");
        return;
      }
      hangs = true;
      EXPECT_THAT(ErrorOnDevice(gpu), HasSubstr("rank 1 gave up: the disk is full"));
      EXPECT_EQ(aborted, 1);
    });
  }
}

TEST(GpuCommunicator, AllRanksAreToldWhyNcclDoesNotStart) {
  fails_to_invite = true;
  OnRanks(3, [](Communicator& ranks) {
    try {
      FakeGpuRank(ranks, 0);
      ADD_FAILURE();
    } catch (const CommError& error) {
      EXPECT_EQ(error.code(), ExitCode::kBadCluster);
      EXPECT_THAT(error.what(),
                  AllOf(StartsWith("start of NCCL on rank "), HasSubstr("remote process exited")));
    }
  });
  fails_to_invite = false;
}

// With NCCL itself.
class NcclOnGpus : public ::testing::Test {
 protected:
  void SetUp() override {
    if (CountCudaDevices() == 0) GTEST_SKIP() << "no GPU answers";
  }
};

void CheckOnGpu(Communicator& ranks, NcclRanks connected) {
  const auto gpu = MakeCudaBackend(ranks.rank());
  EXPECT_EQ(PlaceForNccl(*gpu).name, gpu->name());
  const auto c = MakeNcclCommunicator(ranks, *gpu, connected);
  EXPECT_EQ(c->name(), "nccl");
  EXPECT_TRUE(c->Reaches(*gpu));
  constexpr int64_t kMost = 1 << 20;
  void* const data = gpu->Allocate(kMost * 8, "an array of a test");
  uint64_t seed = 1;
  for (const WireType type : kWireTypes) {
    for (const int64_t count : {int64_t{0}, int64_t{1}, int64_t{1000}, kMost}) {
      Bytes values = ValuesOf(type, ++seed, c->rank(), count);
      gpu->Upload(values.data(), data, values.size());
      gpu->Mark()->Wait();
      c->Allreduce(data, count, type, ReduceOp::kSum);
      gpu->Download(data, values.data(), values.size());
      ExpectReduced(values.data(), type, ReduceOp::kSum, seed, c->size(), count);
    }
  }
  for (const Check& check : ContractChecks()) check.run(*c);
  gpu->Free(data);
}

TEST_F(NcclOnGpus, OneRankAGpuKeepsTheContract) {
  for (const NcclRanks connected : {NcclRanks::kAll, NcclRanks::kOfAHost}) {
    OnRanks(CountCudaDevices(), [&](Communicator& ranks) { CheckOnGpu(ranks, connected); });
  }
}

}  // namespace
}  // namespace lockstep::testing
