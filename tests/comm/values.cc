#include "tests/comm/values.h"

#include <cstring>
#include <type_traits>

#include "comm/half.h"

namespace lockstep::testing {
namespace {

// A type as it is stored, and as it is computed with.
template <typename S, typename C, C (*kWiden)(S), S (*kNarrow)(C)>
struct Wire {
  using Stored = S;
  static C Widen(S s) { return kWiden(s); }
  static S Narrow(C c) { return kNarrow(c); }
};
template <typename T>
T Same(T value) {
  return value;
}
template <typename T>
using PlainWire = Wire<T, T, Same<T>, Same<T>>;

template <typename Fn>
auto WithWire(WireType type, Fn fn) {
  switch (type) {
    case WireType::kFloat64:
      return fn(PlainWire<double>());
    case WireType::kFloat16:
      return fn(Wire<uint16_t, float, WidenHalf, NarrowHalf>());
    case WireType::kBfloat16:
      return fn(Wire<uint16_t, float, WidenBfloat16, NarrowBfloat16>());
    case WireType::kInt32:
      return fn(PlainWire<int32_t>());
    case WireType::kInt64:
      return fn(PlainWire<int64_t>());
    case WireType::kUint8:
      return fn(PlainWire<uint8_t>());
    case WireType::kFloat32:
      break;
  }
  return fn(PlainWire<float>());
}

// Integers of the whole range, which wrap; floats between -13.7 and 13.7.
template <typename W>
auto Element(uint64_t seed, int rank, int64_t index) {
  using C = decltype(W::Widen({}));
  const uint64_t bits = Mix(Mix(seed, static_cast<uint64_t>(rank)), static_cast<uint64_t>(index));
  if constexpr (std::is_integral_v<C>) {
    return static_cast<C>(bits);
  } else {
    const double value = static_cast<double>(static_cast<int64_t>(bits % 200001) - 100000) / 7300.0;
    return W::Narrow(static_cast<C>(value));
  }
}

template <typename C>
C Apply(ReduceOp op, C a, C b) {
  if (op == ReduceOp::kMin) return b < a ? b : a;
  if (op == ReduceOp::kMax) return b > a ? b : a;
  if constexpr (std::is_integral_v<C>) {
    return static_cast<C>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
  } else {
    return a + b;
  }
}

template <typename W, typename Fn>
Bytes Make(int64_t count, Fn element) {
  using S = typename W::Stored;
  Bytes bytes(static_cast<size_t>(count) * sizeof(S));
  for (int64_t i = 0; i < count; ++i) {
    const S value = element(i);
    std::memcpy(bytes.data() + static_cast<size_t>(i) * sizeof(S), &value, sizeof(S));
  }
  return bytes;
}

}  // namespace

// The finaliser of SplitMix64.
uint64_t Mix(uint64_t a, uint64_t b) {
  uint64_t x = a * 0x9E3779B97F4A7C15U + b + 0x632BE59BD9B4E019U;
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9U;
  x = (x ^ x >> 27) * 0x94D049BB133111EBU;
  return x ^ x >> 31;
}

Bytes ValuesOf(WireType type, uint64_t seed, int rank, int64_t count) {
  return WithWire(type, [&](auto wire) {
    using W = decltype(wire);
    return Make<W>(count, [&](int64_t i) { return Element<W>(seed, rank, i); });
  });
}

Bytes SeriallyReduced(WireType type, ReduceOp op, uint64_t seed, int size, int64_t count) {
  return WithWire(type, [&](auto wire) {
    using W = decltype(wire);
    return Make<W>(count, [&](int64_t i) {
      auto total = W::Widen(Element<W>(seed, 0, i));
      for (int r = 1; r < size; ++r) total = Apply(op, total, W::Widen(Element<W>(seed, r, i)));
      return W::Narrow(total);
    });
  });
}

double ElementAt(WireType type, const std::byte* data, int64_t index) {
  return WithWire(type, [&](auto wire) {
    using W = decltype(wire);
    typename W::Stored value;
    std::memcpy(&value, data + static_cast<size_t>(index) * sizeof value, sizeof value);
    return static_cast<double>(W::Widen(value));
  });
}

double SumTolerance(WireType type, int size) {
  const double largest = 13.7 * size;
  if (type == WireType::kFloat32) return largest * size * 0x1p-23;
  if (type == WireType::kFloat64) return largest * size * 0x1p-52;
  if (type == WireType::kFloat16) return largest * size * 0x1p-10;
  if (type == WireType::kBfloat16) return largest * size * 0x1p-7;
  return 0.0;
}

}  // namespace lockstep::testing
