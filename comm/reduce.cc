#include "comm/reduce.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

#include "comm/half.h"

namespace lockstep {
namespace {

// Elements that are reduced at a time; they stay in the first-level cache.
constexpr int64_t kBlock = 1024;

struct Sum {
  template <typename T>
  T operator()(T a, T b) const {
    if constexpr (std::is_integral_v<T>) {
      using U = std::make_unsigned_t<T>;
      return static_cast<T>(static_cast<U>(a) + static_cast<U>(b));  // wraps
    } else {
      return a + b;
    }
  }
};

// b != b: a NaN wins; once there it stays, nothing being less than it.
struct Min {
  template <typename T>
  T operator()(T a, T b) const {
    return b < a || b != b ? b : a;
  }
};
struct Max {
  template <typename T>
  T operator()(T a, T b) const {
    return b > a || b != b ? b : a;
  }
};

// A value less itself is +0 where it is finite, else a NaN.
template <typename Int, typename T>
bool AreFinite(const T* values, int64_t count) {
  Int bits = 0;
  for (int64_t i = 0; i < count; ++i) bits |= std::bit_cast<Int>(values[i] - values[i]);
  return bits == 0;
}

bool AreFinite(const float* values, int64_t count) { return AreFinite<int32_t>(values, count); }
bool AreFinite(const double* values, int64_t count) { return AreFinite<int64_t>(values, count); }

// Of 16 bits: whether all magnitudes are below that of infinity.
bool AreBelow(int16_t infinity, const uint16_t* values, int64_t count) {
  int16_t largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    largest = std::max(largest, static_cast<int16_t>(values[i] & 0x7FFF));
  }
  return largest < infinity;
}

// How elements of a wire type are loaded, computed with and stored, a block at a time.
template <typename T>
struct Plain {
  using Stored = T;
  using Computed = T;
  static const T* Load(const T* source, T* /*room*/, int64_t /*count*/) { return source; }
  static const T* Store(const T* computed, T* /*room*/, int64_t /*count*/) { return computed; }
  static bool IsFinite(const T* stored, int64_t count) {
    if constexpr (std::is_integral_v<T>) {
      return true;
    } else {
      return AreFinite(stored, count);
    }
  }
};

struct Half {
  using Stored = uint16_t;
  using Computed = float;
  static const float* Load(const uint16_t* source, float* room, int64_t count) {
    WidenHalves(source, room, count);
    return room;
  }
  static const uint16_t* Store(const float* computed, uint16_t* room, int64_t count) {
    NarrowHalves(computed, room, count);
    return room;
  }
  static bool IsFinite(const uint16_t* stored, int64_t count) {
    return AreBelow(0x7C00, stored, count);
  }
};

struct Bfloat16 {
  using Stored = uint16_t;
  using Computed = float;
  static const float* Load(const uint16_t* source, float* room, int64_t count) {
    for (int64_t i = 0; i < count; ++i) room[i] = WidenBfloat16(source[i]);
    return room;
  }
  static const uint16_t* Store(const float* computed, uint16_t* room, int64_t count) {
    for (int64_t i = 0; i < count; ++i) room[i] = NarrowBfloat16(computed[i]);
    return room;
  }
  static bool IsFinite(const uint16_t* stored, int64_t count) {
    return AreBelow(0x7F80, stored, count);
  }
};

template <typename T, typename Op>
void Combine(const T* a, const T* b, T* __restrict out, int64_t count, Op op) {
  for (int64_t i = 0; i < count; ++i) out[i] = op(a[i], b[i]);
}

template <typename T, typename Op>
void Fold(T* __restrict total, const T* __restrict source, int64_t count, Op op) {
  for (int64_t i = 0; i < count; ++i) total[i] = op(total[i], source[i]);
}

// The block's outputs are written after all its sources were read: they may be the same memory.
template <typename Wire, typename Op, bool kChecks>
class Reducer {
 public:
  using Stored = typename Wire::Stored;
  using Computed = typename Wire::Computed;

  bool Run(std::span<const void* const> sources, std::span<void* const> outputs, int64_t count) {
    bool finite = true;
    for (int64_t begin = 0; begin < count; begin += kBlock) {
      const int64_t size = std::min(kBlock, count - begin);
      const Stored* result = Wire::Store(Total(sources, begin, size), narrow_, size);
      if constexpr (kChecks) finite = Wire::IsFinite(result, size) && finite;
      for (void* output : outputs) {
        Stored* to = static_cast<Stored*>(output) + begin;
        if (to != result) std::memcpy(to, result, static_cast<size_t>(size) * sizeof(Stored));
      }
    }
    return finite;
  }

 private:
  static const Stored* At(const void* source, int64_t begin) {
    return static_cast<const Stored*>(source) + begin;
  }

  const Computed* Total(std::span<const void* const> sources, int64_t begin, int64_t size) {
    const Computed* first = Wire::Load(At(sources[0], begin), first_, size);
    if (sources.size() == 1) return first;
    Combine(first, Wire::Load(At(sources[1], begin), next_, size), total_, size, Op());
    for (size_t s = 2; s < sources.size(); ++s) {
      Fold(total_, Wire::Load(At(sources[s], begin), next_, size), size, Op());
    }
    return total_;
  }

  alignas(64) Computed total_[kBlock];
  alignas(64) Computed first_[kBlock];
  alignas(64) Computed next_[kBlock];
  alignas(64) Stored narrow_[kBlock];
};

template <typename Wire, bool kChecks>
bool ReduceAs(std::span<const void* const> sources, std::span<void* const> outputs, int64_t count,
              ReduceOp op) {
  switch (op) {
    case ReduceOp::kSum:
      return Reducer<Wire, Sum, kChecks>().Run(sources, outputs, count);
    case ReduceOp::kMin:
      return Reducer<Wire, Min, kChecks>().Run(sources, outputs, count);
    case ReduceOp::kMax:
      return Reducer<Wire, Max, kChecks>().Run(sources, outputs, count);
  }
  return false;
}

// fn.operator()<Wire>()
template <typename Fn>
bool WithWire(WireType type, const Fn& fn) {
  switch (type) {
    case WireType::kFloat32:
      return fn.template operator()<Plain<float>>();
    case WireType::kFloat64:
      return fn.template operator()<Plain<double>>();
    case WireType::kFloat16:
      return fn.template operator()<Half>();
    case WireType::kBfloat16:
      return fn.template operator()<Bfloat16>();
    case WireType::kInt32:
      return fn.template operator()<Plain<int32_t>>();
    case WireType::kInt64:
      return fn.template operator()<Plain<int64_t>>();
    case WireType::kUint8:
      return fn.template operator()<Plain<uint8_t>>();
  }
  return false;
}

}  // namespace

void Reduce(std::span<const void* const> sources, std::span<void* const> outputs, int64_t count,
            WireType type, ReduceOp op) {
  WithWire(type,
           [&]<typename Wire>() { return ReduceAs<Wire, false>(sources, outputs, count, op); });
}

bool ReduceAndCheck(std::span<const void* const> sources, std::span<void* const> outputs,
                    int64_t count, WireType type, ReduceOp op) {
  return WithWire(
      type, [&]<typename Wire>() { return ReduceAs<Wire, true>(sources, outputs, count, op); });
}

bool AllFinite(const void* data, int64_t count, WireType type) {
  return WithWire(type, [&]<typename Wire>() {
    const auto* const values = static_cast<const typename Wire::Stored*>(data);
    for (int64_t begin = 0; begin < count; begin += kBlock) {
      if (!Wire::IsFinite(values + begin, std::min(kBlock, count - begin))) return false;
    }
    return true;
  });
}

}  // namespace lockstep
