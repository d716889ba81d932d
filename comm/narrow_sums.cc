#include "comm/narrow_sums.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

#include "comm/half.h"

namespace lockstep {
namespace {

// Elements that are converted at once, in the cache.
constexpr int64_t kBlock = 1024;
using Block = std::array<float, kBlock>;

constexpr int32_t kInfinityBits = 0x7F800000;
// Exponents whose powers, and their inverses, are ordinary floats.
constexpr int kMostExponent = 126;
// Sums stay below 2^15; halves end at 2^16 - 32.
constexpr int kSumExponent = 15;

// Of a float: those of its magnitude, which are ordered as the magnitudes are, and NaN above all.
int32_t MagnitudeBits(float value) {
  return std::bit_cast<int32_t>(value) & std::numeric_limits<int32_t>::max();
}

template <typename T>
int32_t LargestBits(const T* values, int64_t count) {
  int32_t largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    largest = std::max(largest, MagnitudeBits(static_cast<float>(values[i])));
  }
  return largest;
}

// The exponent of the factor for a piece whose largest element, of any of so many ranks, has these
// bits.
int ExponentFor(int32_t largest_bits, int ranks) {
  if (largest_bits == 0 || largest_bits >= kInfinityBits) return 0;
  const int above = std::ilogb(std::bit_cast<float>(largest_bits)) + 1;  // largest < 2^above
  const int of_ranks = static_cast<int>(std::bit_width(static_cast<unsigned>(ranks - 1)));
  return std::clamp(kSumExponent - above - of_ranks, -kMostExponent, kMostExponent);
}

void Narrow(WireType type, const float* from, uint16_t* to, int64_t count) {
  if (type == WireType::kFloat16) return NarrowHalves(from, to, count);
  std::transform(from, from + count, to, [](float value) { return NarrowBfloat16(value); });
}

void Widen(WireType type, const uint16_t* from, float* to, int64_t count) {
  if (type == WireType::kFloat16) return WidenHalves(from, to, count);
  std::transform(from, from + count, to, [](uint16_t value) { return WidenBfloat16(value); });
}

// values * factor to `wire`; `values`, where they are the residual, become what was lost.
template <typename T>
void Pack(WireType type, T* values, bool is_residual, T factor, uint16_t* wire, int64_t count) {
  Block block;
  const T inverse = T{1} / factor;
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t size = std::min(kBlock, count - begin);
    T* const at = values + begin;
    for (int64_t i = 0; i < size; ++i) {
      block[static_cast<size_t>(i)] = static_cast<float>(at[i] * factor);
    }
    Narrow(type, block.data(), wire + begin, size);
    if (!is_residual) continue;
    Widen(type, wire + begin, block.data(), size);
    for (int64_t i = 0; i < size; ++i) {
      const T lost = at[i] - static_cast<T>(block[static_cast<size_t>(i)]) * inverse;
      at[i] = std::abs(lost) <= std::numeric_limits<T>::max() ? lost : T{0};
    }
  }
}

template <typename T>
void Unpack(WireType type, const uint16_t* wire, T factor, T* values, int64_t count) {
  Block block;
  const T inverse = T{1} / factor;
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t size = std::min(kBlock, count - begin);
    Widen(type, wire + begin, block.data(), size);
    for (int64_t i = 0; i < size; ++i) {
      values[begin + i] = static_cast<T>(block[static_cast<size_t>(i)]) * inverse;
    }
  }
}

}  // namespace

NarrowSums::NarrowSums(WireType type, bool feedback, DType dtype, int64_t size,
                       std::shared_ptr<std::byte> wire)
    : type_(type), dtype_(dtype), wire_(std::move(wire)) {
  if (feedback) residual_.resize(static_cast<size_t>(size) * SizeOf(dtype));
}

void NarrowSums::Sum(Communicator& ranks, void* gradients, int64_t begin, int64_t count) {
  if (dtype_ == DType::kFloat64) {
    SumOf(ranks, static_cast<double*>(gradients), begin, count);
  } else {
    SumOf(ranks, static_cast<float*>(gradients), begin, count);
  }
}

template <typename T>
void NarrowSums::SumOf(Communicator& ranks, T* gradients, int64_t begin, int64_t count) {
  T* const residual = ResidualAt<T>(begin);
  T* const mine = gradients + begin;
  if (ranks.size() == 1) {
    if (residual == nullptr) return;
    std::transform(mine, mine + count, residual, mine, std::plus<T>());
    std::fill_n(residual, count, T{0});
    return;
  }
  T* const values = residual != nullptr ? residual : mine;
  if (residual != nullptr) {
    std::transform(mine, mine + count, residual, residual, std::plus<T>());
  }
  T factor{1};
  if (type_ == WireType::kFloat16) {
    int32_t largest = LargestBits(values, count);
    ranks.Allreduce(&largest, 1, WireType::kInt32, ReduceOp::kMax);
    factor = static_cast<T>(std::ldexp(1.0, ExponentFor(largest, ranks.size())));
  }
  uint16_t* const wire = reinterpret_cast<uint16_t*>(wire_.get()) + begin;
  Pack(type_, values, residual != nullptr, factor, wire, count);
  ranks.Allreduce(wire, count, type_, ReduceOp::kSum);
  Unpack(type_, wire, factor, mine, count);
}

}  // namespace lockstep
