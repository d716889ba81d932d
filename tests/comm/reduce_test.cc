#include "comm/reduce.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "comm/half.h"

namespace lockstep {
namespace {

template <typename T>
std::vector<T> Reduced(const std::vector<std::vector<T>>& ranks, WireType type, ReduceOp op) {
  std::vector<const void*> sources;
  sources.reserve(ranks.size());
  for (const auto& rank : ranks) sources.push_back(rank.data());
  std::vector<T> result(ranks[0].size());
  void* const output = result.data();
  Reduce(sources, {&output, 1}, static_cast<int64_t>(result.size()), type, op);
  return result;
}

TEST(Reduce, AddsFromLeftToRight) {
  const std::vector<std::vector<float>> ranks = {{1e8F, 1.0F}, {1.0F, 1e8F}, {-1e8F, -1e8F}};
  EXPECT_EQ(Reduced(ranks, WireType::kFloat32, ReduceOp::kSum), (std::vector<float>{0.0F, 0.0F}));
  const std::vector<std::vector<float>> others = {{1e8F}, {-1e8F}, {1.0F}};
  EXPECT_EQ(Reduced(others, WireType::kFloat32, ReduceOp::kSum), std::vector<float>{1.0F});
}

TEST(Reduce, IntegersWrap) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(Reduced<int64_t>({{kMost}, {1}}, WireType::kInt64, ReduceOp::kSum)[0],
            std::numeric_limits<int64_t>::min());
  EXPECT_EQ(Reduced<int32_t>({{-2147483647 - 1}, {-1}}, WireType::kInt32, ReduceOp::kSum)[0],
            2147483647);
  EXPECT_EQ(Reduced<uint8_t>({{200}, {100}}, WireType::kUint8, ReduceOp::kSum)[0], 44);
}

// 1 + 2^-11 + 2^-11 is 1 when each sum is rounded to a half, 1 + 2^-10 when the last is.
TEST(Reduce, HalvesAreRoundedOnceAfterTheLastRank) {
  const uint16_t one = NarrowHalf(1.0F);
  const uint16_t bit = NarrowHalf(0x1p-11F);
  EXPECT_EQ(Reduced<uint16_t>({{one}, {bit}, {bit}}, WireType::kFloat16, ReduceOp::kSum)[0],
            NarrowHalf(1.0F + 0x1p-10F));
  const uint16_t small = NarrowBfloat16(0x1p-8F);
  EXPECT_EQ(Reduced<uint16_t>({{NarrowBfloat16(1.0F)}, {small}, {small}}, WireType::kBfloat16,
                              ReduceOp::kSum)[0],
            NarrowBfloat16(1.0F + 0x1p-7F));
}

TEST(Reduce, SumsOfHalvesMayOverflowOnTheWay) {
  const uint16_t most = NarrowHalf(65504.0F);
  const uint16_t least = NarrowHalf(-65504.0F);
  EXPECT_EQ(Reduced<uint16_t>({{most}, {most}, {least}}, WireType::kFloat16, ReduceOp::kSum)[0],
            most);
}

TEST(Reduce, ExtremaKeepNaNsOfAnyRank) {
  for (const ReduceOp op : {ReduceOp::kMin, ReduceOp::kMax}) {
    const auto result = Reduced<float>({{NAN, 1.0F, 1.0F}, {1.0F, NAN, 2.0F}, {0.0F, 0.0F, 3.0F}},
                                       WireType::kFloat32, op);
    EXPECT_TRUE(std::isnan(result[0]));
    EXPECT_TRUE(std::isnan(result[1]));
    EXPECT_EQ(result[2], op == ReduceOp::kMin ? 1.0F : 3.0F);
    const auto halves = Reduced<uint16_t>({{0x7E00}, {0}}, WireType::kFloat16, op);
    EXPECT_TRUE(std::isnan(WidenHalf(halves[0])));
  }
}

// Lengths around the block that is reduced at a time, outputs that are sources, many ranks.
TEST(Reduce, WritesEveryOutputAlsoOverItsSource) {
  for (const int64_t count : {0, 1, 2, 1023, 1024, 1025, 5000}) {
    for (const int ranks : {1, 2, 3, 7}) {
      std::vector<std::vector<int32_t>> buffers(static_cast<size_t>(ranks));
      std::vector<int32_t> wanted(static_cast<size_t>(count));
      std::vector<const void*> sources;
      std::vector<void*> outputs;
      for (size_t r = 0; r < buffers.size(); ++r) {
        buffers[r].resize(static_cast<size_t>(count) + 1, -1);
        for (size_t i = 0; i < wanted.size(); ++i) {
          buffers[r][i] = static_cast<int32_t>(i * (r + 3));
          wanted[i] += buffers[r][i];
        }
        sources.push_back(buffers[r].data());
        outputs.push_back(buffers[r].data());
      }
      Reduce(sources, outputs, count, WireType::kInt32, ReduceOp::kSum);
      for (const auto& buffer : buffers) {
        EXPECT_TRUE(std::equal(wanted.begin(), wanted.end(), buffer.begin()));
        EXPECT_EQ(buffer.back(), -1);
      }
    }
  }
}

template <typename T>
void ExpectOneBadElementIsSeen(WireType type) {
  for (const int64_t count : {0, 1, 7, 1023, 1024, 1025, 5000}) {
    std::vector<T> values(static_cast<size_t>(count), std::numeric_limits<T>::max());
    if (count > 2) values[1] = -std::numeric_limits<T>::denorm_min();
    EXPECT_TRUE(AllFinite(values.data(), count, type));
    for (const T bad :
         {std::numeric_limits<T>::infinity(), -std::numeric_limits<T>::infinity(),
          std::numeric_limits<T>::quiet_NaN(), -std::numeric_limits<T>::quiet_NaN()}) {
      for (const int64_t at : {int64_t{0}, count / 2, count - 1}) {
        if (count == 0) continue;
        const T good = std::exchange(values[static_cast<size_t>(at)], bad);
        EXPECT_FALSE(AllFinite(values.data(), count, type)) << bad << " at " << at;
        values[static_cast<size_t>(at)] = good;
      }
    }
  }
}

TEST(AllFinite, SeesEachElement) {
  ExpectOneBadElementIsSeen<float>(WireType::kFloat32);
  ExpectOneBadElementIsSeen<double>(WireType::kFloat64);
}

// Of 16 bits by their patterns: infinities, and NaN of either sign with few bits and with many.
TEST(AllFinite, SeesEachElementOf16Bits) {
  struct Kind {
    WireType type;
    std::vector<uint16_t> good, bad;
  };
  const Kind kinds[] = {
      {WireType::kFloat16,
       {0x0000, 0x8000, 0x0001, 0x8001, 0x3C00, 0x7BFF, 0xFBFF},
       {0x7C00, 0xFC00, 0x7C01, 0xFC01, 0x7E00, 0xFE00, 0x7FFF, 0xFFFF}},
      {WireType::kBfloat16,
       {0x0000, 0x8000, 0x0001, 0x8001, 0x3F80, 0x7F7F, 0xFF7F},
       {0x7F80, 0xFF80, 0x7F81, 0xFF81, 0x7FC0, 0xFFC0, 0x7FFF, 0xFFFF}},
  };
  for (const Kind& kind : kinds) {
    for (const int64_t count : {1, 7, 1024, 1025}) {
      std::vector<uint16_t> values;
      for (int64_t i = 0; i < count; ++i) {
        values.push_back(kind.good[static_cast<size_t>(i) % kind.good.size()]);
      }
      EXPECT_TRUE(AllFinite(values.data(), count, kind.type));
      for (const uint16_t bad : kind.bad) {
        for (const size_t at : {size_t{0}, values.size() / 2, values.size() - 1}) {
          const uint16_t good = std::exchange(values[at], bad);
          EXPECT_FALSE(AllFinite(values.data(), count, kind.type)) << bad << " at " << at;
          const void* const source = values.data();
          std::vector<uint16_t> sums(values.size());
          void* const output = sums.data();
          EXPECT_FALSE(
              ReduceAndCheck({&source, 1}, {&output, 1}, count, kind.type, ReduceOp::kSum));
          values[at] = good;
        }
      }
    }
  }
}

TEST(PartOf, CoversEverythingOnceAndEvenly) {
  for (const int64_t count : {0, 1, 6, 7, 1000003}) {
    for (const int size : {1, 2, 3, 7}) {
      int64_t end = 0;
      for (int r = 0; r < size; ++r) {
        const Part part = PartOf(count, r, size);
        EXPECT_EQ(part.begin, end);
        EXPECT_LE(part.size(), count / size + 1);
        EXPECT_GE(part.size(), count / size);
        end = part.end;
      }
      EXPECT_EQ(end, count);
    }
  }
}

}  // namespace
}  // namespace lockstep
