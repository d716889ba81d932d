#include "tests/comm/contract.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "comm/reduce.h"
#include "kernels/error.h"
#include "tests/comm/values.h"

namespace lockstep::testing {
namespace {

constexpr int64_t kCounts[] = {0, 1, 2, 3, 17, 1000, 65537};
constexpr int64_t kManyPieces = 400001;

// Ranks of several hosts are added host by host.
bool AddsInRankOrder(const Communicator& c) { return c.name() != "shm+mpi"; }

template <typename T>
std::vector<T> Gathered(Communicator& c, T mine) {
  std::vector<T> all(static_cast<size_t>(c.size()));
  c.Allgather(&mine, sizeof mine, all.data());
  return all;
}

uint64_t HashOf(const std::byte* data, size_t bytes) {
  uint64_t hash = bytes;
  for (size_t i = 0; i < bytes; i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, data + i, std::min<size_t>(8, bytes - i));
    hash = Mix(hash, word);
  }
  return hash;
}

// Elements [part) of `data` are those of `wanted`.
void ExpectReduced(Communicator& c, const std::byte* data, const Bytes& wanted, Part part,
                   WireType type, ReduceOp op) {
  const size_t begin = static_cast<size_t>(part.begin) * SizeOf(type);
  const size_t bytes = static_cast<size_t>(part.size()) * SizeOf(type);
  if (AddsInRankOrder(c) || op != ReduceOp::kSum || SumTolerance(type, c.size()) == 0.0) {
    EXPECT_TRUE(std::equal(data + begin, data + begin + bytes, wanted.data() + begin))
        << "type " << static_cast<int>(type) << " op " << static_cast<int>(op) << " elements "
        << part.begin << " to " << part.end;
    return;
  }
  for (int64_t i = part.begin; i < part.end; ++i) {
    ASSERT_NEAR(ElementAt(type, data, i), ElementAt(type, wanted.data(), i),
                SumTolerance(type, c.size()));
  }
}

void CheckAllreduce(Communicator& c, std::byte* data, int64_t count, WireType type, ReduceOp op,
                    uint64_t seed) {
  const Bytes mine = ValuesOf(type, seed, c.rank(), count);
  std::copy(mine.begin(), mine.end(), data);
  c.Allreduce(data, count, type, op);
  ExpectReduced(c, data, SeriallyReduced(type, op, seed, c.size(), count), {0, count}, type, op);
  EXPECT_THAT(Gathered(c, HashOf(data, mine.size())), ::testing::Each(HashOf(data, mine.size())));
}

void CheckReduceScatter(Communicator& c, std::byte* data, int64_t count, WireType type, ReduceOp op,
                        uint64_t seed) {
  const Bytes mine = ValuesOf(type, seed, c.rank(), count);
  std::copy(mine.begin(), mine.end(), data);
  c.ReduceScatter(data, count, type, op);
  ExpectReduced(c, data, SeriallyReduced(type, op, seed, c.size(), count),
                PartOf(count, c.rank(), c.size()), type, op);
}

void CheckAllgather(Communicator& c, size_t bytes, uint64_t seed) {
  const int64_t count = static_cast<int64_t>(bytes);
  const Bytes mine = ValuesOf(WireType::kUint8, seed, c.rank(), count);
  Bytes all(bytes * static_cast<size_t>(c.size()));
  c.Allgather(mine.data(), bytes, all.data());
  for (int r = 0; r < c.size(); ++r) {
    const Bytes wanted = ValuesOf(WireType::kUint8, seed, r, count);
    EXPECT_TRUE(std::equal(wanted.begin(), wanted.end(),
                           all.begin() + static_cast<std::ptrdiff_t>(bytes) * r));
  }
}

void CheckBroadcast(Communicator& c, size_t bytes, int root, uint64_t seed) {
  const int64_t count = static_cast<int64_t>(bytes);
  Bytes data = ValuesOf(WireType::kUint8, seed, c.rank(), count);
  c.Broadcast(data.data(), bytes, root);
  EXPECT_EQ(data, ValuesOf(WireType::kUint8, seed, root, count));
}

void AllreduceEqualsSerialSums(Communicator& c) {
  Bytes data(static_cast<size_t>(kManyPieces) * 8);
  uint64_t seed = 1;
  for (const WireType type : kWireTypes) {
    for (const ReduceOp op : kReduceOps) {
      for (const int64_t count : kCounts) CheckAllreduce(c, data.data(), count, type, op, ++seed);
    }
  }
  for (const WireType type : {WireType::kFloat32, WireType::kFloat16, WireType::kInt64}) {
    CheckAllreduce(c, data.data(), kManyPieces, type, ReduceOp::kSum, ++seed);
  }
}

// Above what any communicator sends, or adds, in one go.
void LargeBuffersGoInSeveralPieces(Communicator& c) {
  constexpr int64_t kLargest = 3000001;
  Bytes data(size_t{kLargest} * 4);
  uint64_t seed = 900;
  // 960 KB, of which MPI makes its pieces, for each of 4 ranks, and as much once more.
  for (const int64_t count : {int64_t{983040}, int64_t{1966080}, kLargest}) {
    CheckAllreduce(c, data.data(), count, WireType::kFloat32, ReduceOp::kSum, ++seed);
    CheckReduceScatter(c, data.data(), count, WireType::kFloat32, ReduceOp::kSum, ++seed);
  }
  CheckAllgather(c, 4500001, ++seed);
  CheckBroadcast(c, 4500001, c.size() - 1, ++seed);
}

void AllocatedBuffersAtAnyOffset(Communicator& c) {
  const std::shared_ptr<std::byte> memory = c.Allocate(static_cast<size_t>(kManyPieces) * 4 + 4096);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(memory.get()) % 64, 0U);
  EXPECT_TRUE(std::all_of(memory.get(), memory.get() + 4096,
                          [](std::byte b) { return b == std::byte{0}; }));
  uint64_t seed = 1000;
  for (const size_t offset : {0, 4, 68, 4096}) {
    for (const int64_t count : {int64_t{0}, int64_t{1}, int64_t{5000}, kManyPieces}) {
      CheckAllreduce(c, memory.get() + offset, count, WireType::kFloat32, ReduceOp::kSum, ++seed);
    }
  }
  // Every rank elsewhere.
  const size_t own = static_cast<size_t>(c.rank()) * 12;
  CheckAllreduce(c, memory.get() + own, 65537, WireType::kBfloat16, ReduceOp::kSum, ++seed);
  CheckAllreduce(c, memory.get() + own, 65537, WireType::kInt32, ReduceOp::kMax, ++seed);
}

void AllocatedAndPlainBuffersTogether(Communicator& c) {
  const std::shared_ptr<std::byte> memory = c.Allocate(300000);
  const std::shared_ptr<std::byte> other = c.Allocate(300000);
  Bytes plain(300000);
  std::byte* const places[] = {memory.get(), plain.data(), other.get()};
  for (int i = 0; i < 6; ++i) {
    CheckAllreduce(c, places[(c.rank() + i) % 3], 70001, WireType::kFloat32, ReduceOp::kSum,
                   static_cast<uint64_t>(2000 + i));
  }
}

// Some ranks let go of memory that others still use.
void AllocatedBuffersLiveAsLongAsTheyAreHeld(Communicator& c) {
  std::shared_ptr<std::byte> first = c.Allocate(300000);
  const std::shared_ptr<std::byte> second = c.Allocate(300000);
  if (c.rank() % 2 == 1) first.reset();
  std::byte* const data = first ? first.get() : second.get();
  CheckAllreduce(c, data, 70001, WireType::kFloat32, ReduceOp::kSum, 2100);
  first.reset();
  const std::shared_ptr<std::byte> third = c.Allocate(300000);
  CheckAllreduce(c, third.get(), 70001, WireType::kFloat32, ReduceOp::kSum, 2101);
  std::shared_ptr<std::byte> outliving;
  {
    const std::unique_ptr<Communicator> part = c.Split(0, c.rank());
    outliving = part->Allocate(5000);
    CheckAllreduce(*part, outliving.get(), 1000, WireType::kFloat32, ReduceOp::kSum, 2102);
  }
  std::memset(outliving.get(), 1, 5000);
}

void ReduceScatterGivesEachItsPart(Communicator& c) {
  const std::shared_ptr<std::byte> memory = c.Allocate(static_cast<size_t>(kManyPieces) * 8 + 64);
  Bytes plain(static_cast<size_t>(kManyPieces) * 8 + 64);
  // In memory of Allocate, in memory of one's own, each in turn, and of each rank elsewhere.
  std::byte* const places[] = {memory.get(), plain.data(),
                               (c.rank() % 2 == 0 ? memory.get() : plain.data()),
                               memory.get() + c.rank() % 4 * 8};
  uint64_t seed = 3000;
  for (std::byte* const data : places) {
    for (const WireType type : kWireTypes) {
      for (const int64_t count : kCounts) {
        CheckReduceScatter(c, data, count, type, ReduceOp::kSum, ++seed);
      }
    }
    CheckReduceScatter(c, data, kManyPieces, WireType::kFloat32, ReduceOp::kSum, ++seed);
    CheckReduceScatter(c, data, kManyPieces, WireType::kInt64, ReduceOp::kMin, ++seed);
  }
}

// An infinity of the last rank, as it lies in memory.
Bytes InfinityOf(WireType type) {
  switch (type) {
    case WireType::kFloat32:
      return {std::byte{0}, std::byte{0}, std::byte{0x80}, std::byte{0xFF}};
    case WireType::kFloat16:
      return {std::byte{0}, std::byte{0x7C}};
    case WireType::kBfloat16:
      return {std::byte{0x80}, std::byte{0x7F}};
    default:  // kFloat64
      return {std::byte{0}, std::byte{0}, std::byte{0},    std::byte{0},
              std::byte{0}, std::byte{0}, std::byte{0xF0}, std::byte{0x7F}};
  }
}

void ReduceScatterTellsWhoseSumsAreNotFinite(Communicator& c) {
  const std::shared_ptr<std::byte> memory = c.Allocate(size_t{70001} * 8);
  Bytes plain(size_t{70001} * 8);
  uint64_t seed = 3200;
  for (std::byte* const data : {memory.get(), plain.data()}) {
    for (const WireType type :
         {WireType::kFloat32, WireType::kFloat64, WireType::kFloat16, WireType::kBfloat16}) {
      for (const int64_t count : {int64_t{1}, int64_t{1000}, int64_t{70001}}) {
        for (const int64_t at : {int64_t{-1}, int64_t{0}, count / 2, count - 1}) {
          const Bytes mine = ValuesOf(type, ++seed, c.rank(), count);
          std::copy(mine.begin(), mine.end(), data);
          if (at >= 0 && c.rank() == c.size() - 1) {
            const Bytes infinity = InfinityOf(type);
            std::copy(infinity.begin(), infinity.end(),
                      data + static_cast<size_t>(at) * infinity.size());
          }
          const bool finite = c.ReduceScatter(data, count, type, ReduceOp::kSum);
          const Part part = PartOf(count, c.rank(), c.size());
          EXPECT_EQ(finite, at < part.begin || at >= part.end)
              << "type " << static_cast<int>(type) << " element " << at << " of " << count;
        }
      }
    }
  }
  std::fill(plain.begin(), plain.end(), std::byte{0xFF});
  EXPECT_TRUE(c.ReduceScatter(plain.data(), 5000, WireType::kInt32, ReduceOp::kMax));
}

bool SharesMemory(const Communicator& c) {
  return c.name() == "self" || c.name() == "thread" || c.name() == "shm";
}

// Each rank reads its neighbour's part of a sum, and all of it again where nobody writes any more.
void SharedMemoryIsReadByAllRanks(Communicator& c) {
  constexpr int64_t kCount = 50021;
  std::shared_ptr<std::byte> memory = c.Allocate(kCount * 4);
  std::vector<std::shared_ptr<const void>> all = c.Share(memory, kCount * 4);
  ASSERT_EQ(all.size(), SharesMemory(c) || !all.empty() ? static_cast<size_t>(c.size()) : 0U);
  for (uint64_t seed = 3100; seed < 3105 && !all.empty(); ++seed) {
    EXPECT_EQ(all[static_cast<size_t>(c.rank())].get(), memory.get());
    CheckReduceScatter(c, memory.get(), kCount, WireType::kFloat32, ReduceOp::kSum, seed);
    c.Barrier();
    const Bytes wanted =
        SeriallyReduced(WireType::kFloat32, ReduceOp::kSum, seed, c.size(), kCount);
    for (int r = 0; r < c.size(); ++r) {
      ExpectReduced(c, static_cast<const std::byte*>(all[static_cast<size_t>(r)].get()), wanted,
                    PartOf(kCount, r, c.size()), WireType::kFloat32, ReduceOp::kSum);
    }
    c.Barrier();
  }
  if (all.empty()) return;
  // It can be read as long as somebody holds it: rank 0 has left it when memory is made anew.
  std::memset(memory.get(), c.rank() + 1, kCount * 4);
  c.Barrier();
  memory.reset();
  if (c.rank() == 0) all.clear();
  for (int i = 0; i < 3; ++i) c.Allocate(kCount * 4);
  for (size_t r = 0; r < all.size(); ++r) {
    EXPECT_EQ(static_cast<const std::byte*>(all[r].get())[kCount * 4 - 1],
              static_cast<std::byte>(r + 1));
  }
  c.Barrier();
}

// What one rank has from elsewhere is shared by none.
void OnlyAllocatedMemoryIsShared(Communicator& c) {
  if (c.name() != "shm" || c.size() == 1) return;
  const std::shared_ptr<std::byte> memory = c.Allocate(100);
  const auto own = std::make_shared<Bytes>(100);
  const std::shared_ptr<const void> plain(own, own->data());
  EXPECT_TRUE(c.Share(c.rank() == 1 ? plain : memory, 100).empty());
  EXPECT_FALSE(c.Share(memory, 100).empty());
  const std::shared_ptr<std::byte> other = c.Allocate(100);
  EXPECT_THROW(c.Share(c.rank() == 1 ? other : memory, 100), Error);
  EXPECT_THROW(c.Share(memory, c.rank() == 0 ? 50 : 100), Error);
}

void AllgatherAndBroadcastMoveBytes(Communicator& c) {
  uint64_t seed = 4000;
  for (const size_t bytes : {0, 1, 3, 1000, 65537, 700001}) {
    CheckAllgather(c, bytes, ++seed);
    for (int root = 0; root < c.size(); ++root) CheckBroadcast(c, bytes, root, ++seed);
  }
}

// The monotonic clock is the host's.
void BarrierSeparates(Communicator& c) {
  for (int slow = 0; slow < c.size(); ++slow) {
    if (c.rank() == slow) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    const auto entered = Gathered(c, 0).size();  // all begin together
    EXPECT_EQ(entered, static_cast<size_t>(c.size()));
    if (c.rank() == slow) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    const int64_t before = std::chrono::steady_clock::now().time_since_epoch().count();
    c.Barrier();
    const int64_t after = std::chrono::steady_clock::now().time_since_epoch().count();
    const std::vector<int64_t> befores = Gathered(c, before);
    EXPECT_LE(*std::max_element(befores.begin(), befores.end()), after);
  }
}

void SplitGroupsByColorAndOrdersByKey(Communicator& c) {
  const int color = c.rank() % 3 == 0 ? -5 : 1000;
  const std::unique_ptr<Communicator> part = c.Split(color, -c.rank());
  std::vector<int> members;
  for (int r = c.size() - 1; r >= 0; --r) {
    if ((r % 3 == 0) == (c.rank() % 3 == 0)) members.push_back(r);
  }
  EXPECT_EQ(Gathered(*part, c.rank()), members);
  EXPECT_EQ(members.at(static_cast<size_t>(part->rank())), c.rank());
  EXPECT_EQ(part->size(), static_cast<int>(members.size()));
  // The same key: in the order they had. Every rank alone. Both work beside the whole.
  EXPECT_EQ(c.Split(0, 7)->rank(), c.rank());
  const std::unique_ptr<Communicator> alone = c.Split(c.rank(), 0);
  EXPECT_EQ(alone->size(), 1);
  std::vector<std::byte> data(70001 * 4);
  CheckAllreduce(*alone, data.data(), 70001, WireType::kFloat32, ReduceOp::kSum, 5000);
  CheckAllreduce(c, data.data(), 70001, WireType::kFloat32, ReduceOp::kSum, 5001);
  CheckAllreduce(*part, data.data(), 70001, WireType::kFloat32, ReduceOp::kSum, 5002);
}

void NestedSplitsOutliveTheirParents(Communicator& c) {
  std::unique_ptr<Communicator> half = c.Split(c.rank() % 2, c.rank());
  const std::unique_ptr<Communicator> pair = half->Split(half->rank() / 2, 0);
  std::unique_ptr<Communicator> whole = c.Split(0, 0);
  const std::unique_ptr<Communicator> again = whole->Split(1, whole->rank());
  half.reset();
  whole.reset();
  Bytes data(70001 * 4);
  CheckAllreduce(*pair, data.data(), 70001, WireType::kFloat32, ReduceOp::kSum, 5100);
  CheckAllreduce(*again, data.data(), 70001, WireType::kFloat32, ReduceOp::kSum, 5101);
  const std::vector<int> ranks = Gathered(*pair, c.rank());
  for (size_t i = 1; i < ranks.size(); ++i) EXPECT_EQ(ranks[i], ranks[i - 1] + 2);
}

template <typename Body>
std::string ErrorOf(const Body& body) {
  try {
    body();
  } catch (const CommError& error) {
    return error.what();
  }
  return "";
}

void AbortEndsWaitsOfAllRanks(Communicator& c) {
  const std::unique_ptr<Communicator> group = c.Split(0, 0);
  const bool last = c.rank() == c.size() - 1;
  std::thread aborter;
  if (last) {
    aborter = std::thread([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      group->Abort("the disk is full");
    });
    aborter.join();
  }
  const auto began = std::chrono::steady_clock::now();
  const std::string error = ErrorOf([&] {
    for (;;) group->Barrier();
  });
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(5));
  EXPECT_THAT(error, ::testing::HasSubstr("barrier on rank " + std::to_string(c.rank())));
  EXPECT_THAT(error, ::testing::HasSubstr("rank " + std::to_string(c.size() - 1) +
                                          " gave up: the disk is full"));
  float value = 0.0F;
  EXPECT_THROW(group->Allreduce(&value, 1, WireType::kFloat32, ReduceOp::kSum), CommError);
  EXPECT_THROW(group->Broadcast(&value, 4, 0), CommError);
  EXPECT_THAT(ErrorOf([&] { group->CheckPeers("a wait"); }),
              ::testing::AllOf(::testing::StartsWith("a wait on rank "),
                               ::testing::HasSubstr("gave up: the disk is full")));
  c.CheckPeers("a wait");
  c.Barrier();  // the others go on
}

// The same on every rank, as the collectives must be.
void RandomCollective(Communicator& c, uint64_t draw, std::byte* memory, std::byte* plain) {
  const WireType type = kWireTypes[Mix(draw, 1) % std::size(kWireTypes)];
  const ReduceOp op = kReduceOps[Mix(draw, 2) % std::size(kReduceOps)];
  const uint64_t scale = Mix(draw, 3) % 18;
  const int64_t count = static_cast<int64_t>(Mix(draw, 4) % (uint64_t{1} << scale));
  switch (Mix(draw, 5) % 6) {
    case 0:
      return CheckAllreduce(c, memory, count, type, op, draw);
    case 1:
      return CheckAllreduce(c, plain, count, type, op, draw);
    case 2:
      return CheckReduceScatter(c, Mix(draw, 7) % 2 == 0 ? memory : plain, count, type, op, draw);
    case 3:
      return CheckAllgather(c, static_cast<size_t>(count), draw);
    case 4:
      return CheckBroadcast(c, static_cast<size_t>(count),
                            static_cast<int>(Mix(draw, 6) % static_cast<uint64_t>(c.size())), draw);
    default:
      return c.Barrier();
  }
}

void ManyRandomCollectivesInSequence(Communicator& c) {
  constexpr size_t kBytes = size_t{8} << 18;
  const std::shared_ptr<std::byte> memory = c.Allocate(kBytes);
  Bytes plain(kBytes);
  for (uint64_t i = 0; i < 100; ++i) RandomCollective(c, Mix(77, i), memory.get(), plain.data());
}

constexpr Check kChecks[] = {
    {"AllreduceEqualsSerialSums", AllreduceEqualsSerialSums},
    {"LargeBuffersGoInSeveralPieces", LargeBuffersGoInSeveralPieces},
    {"AllocatedBuffersAtAnyOffset", AllocatedBuffersAtAnyOffset},
    {"AllocatedAndPlainBuffersTogether", AllocatedAndPlainBuffersTogether},
    {"AllocatedBuffersLiveAsLongAsTheyAreHeld", AllocatedBuffersLiveAsLongAsTheyAreHeld},
    {"ReduceScatterGivesEachItsPart", ReduceScatterGivesEachItsPart},
    {"ReduceScatterTellsWhoseSumsAreNotFinite", ReduceScatterTellsWhoseSumsAreNotFinite},
    {"SharedMemoryIsReadByAllRanks", SharedMemoryIsReadByAllRanks},
    {"OnlyAllocatedMemoryIsShared", OnlyAllocatedMemoryIsShared},
    {"AllgatherAndBroadcastMoveBytes", AllgatherAndBroadcastMoveBytes},
    {"BarrierSeparates", BarrierSeparates},
    {"SplitGroupsByColorAndOrdersByKey", SplitGroupsByColorAndOrdersByKey},
    {"NestedSplitsOutliveTheirParents", NestedSplitsOutliveTheirParents},
    {"AbortEndsWaitsOfAllRanks", AbortEndsWaitsOfAllRanks},
    {"ManyRandomCollectivesInSequence", ManyRandomCollectivesInSequence},
};

}  // namespace

std::span<const Check> ContractChecks() { return kChecks; }

}  // namespace lockstep::testing
