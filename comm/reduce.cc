#include "comm/reduce.h"

#include <algorithm>
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

// How elements of a wire type are loaded, computed with and stored, a block at a time.
template <typename T>
struct Plain {
  using Stored = T;
  using Computed = T;
  static const T* Load(const T* source, T* /*room*/, int64_t /*count*/) { return source; }
  static const T* Store(const T* computed, T* /*room*/, int64_t /*count*/) { return computed; }
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
template <typename Wire, typename Op>
class Reducer {
 public:
  using Stored = typename Wire::Stored;
  using Computed = typename Wire::Computed;

  void Run(std::span<const void* const> sources, std::span<void* const> outputs, int64_t count) {
    for (int64_t begin = 0; begin < count; begin += kBlock) {
      const int64_t size = std::min(kBlock, count - begin);
      const Stored* result = Wire::Store(Total(sources, begin, size), narrow_, size);
      for (void* output : outputs) {
        Stored* to = static_cast<Stored*>(output) + begin;
        if (to != result) std::memcpy(to, result, static_cast<size_t>(size) * sizeof(Stored));
      }
    }
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

template <typename Wire>
void ReduceAs(std::span<const void* const> sources, std::span<void* const> outputs, int64_t count,
              ReduceOp op) {
  switch (op) {
    case ReduceOp::kSum:
      return Reducer<Wire, Sum>().Run(sources, outputs, count);
    case ReduceOp::kMin:
      return Reducer<Wire, Min>().Run(sources, outputs, count);
    case ReduceOp::kMax:
      return Reducer<Wire, Max>().Run(sources, outputs, count);
  }
}

}  // namespace

void Reduce(std::span<const void* const> sources, std::span<void* const> outputs, int64_t count,
            WireType type, ReduceOp op) {
  switch (type) {
    case WireType::kFloat32:
      return ReduceAs<Plain<float>>(sources, outputs, count, op);
    case WireType::kFloat64:
      return ReduceAs<Plain<double>>(sources, outputs, count, op);
    case WireType::kFloat16:
      return ReduceAs<Half>(sources, outputs, count, op);
    case WireType::kBfloat16:
      return ReduceAs<Bfloat16>(sources, outputs, count, op);
    case WireType::kInt32:
      return ReduceAs<Plain<int32_t>>(sources, outputs, count, op);
    case WireType::kInt64:
      return ReduceAs<Plain<int64_t>>(sources, outputs, count, op);
    case WireType::kUint8:
      return ReduceAs<Plain<uint8_t>>(sources, outputs, count, op);
  }
}

}  // namespace lockstep
