#include "kernels/cpu/isa/families.h"
#include "kernels/cpu/isa/pool_planar.h"
#include "kernels/cpu/isa/vec.h"
#include "kernels/math/pooling.h"

namespace lockstep::cpu::LOCKSTEP_ISA {
namespace {

using math::PoolWindow;
using math::WindowOf;

// body(window, offset of its output) for the outputs of a plane, in order.
template <typename Body>
LOCKSTEP_FORMULA void ForWindows(const PoolShape& s, const Body& body) {
  for (int64_t oh = 0; oh < s.out_h; ++oh) {
    for (int64_t ow = 0; ow < s.out_w; ++ow) {
      body(WindowOf(s, oh, ow), (oh * s.out_w + ow) * s.layout.block);
    }
  }
}

// body(V{}, j) over the channels of a block: whole vectors, then fours, then single elements.
template <typename T, typename Body>
LOCKSTEP_FORMULA void ForLanes(int64_t block, const Body& body) {
  int64_t j = 0;
  for (; j + kLanes<T> <= block; j += kLanes<T>) body(Vec<T>{}, j);
  if constexpr (kLanes < T >> 4) {
    for (; j + 4 <= block; j += 4) body(Four<T>{}, j);
  }
  for (; j < block; ++j) body(T{}, j);
}

// body(offset of pixel) over a window in row-major order; kQuads: all windows are whole 2x2 ones.
template <bool kQuads = false, typename Body>
LOCKSTEP_FORMULA void ForPixels(const PoolShape& s, const PoolWindow& k, const Body& body) {
  const int64_t right = s.layout.block;
  const int64_t down = s.x.w * right;
  if constexpr (kQuads) {
    const int64_t at = k.h0 * down + k.w0 * right;
    body(at);
    body(at + right);
    body(at + down);
    body(at + down + right);
    return;
  }
  for (int64_t h = k.h0; h < k.h1; ++h) {
    for (int64_t w = k.w0; w < k.w1; ++w) body(h * down + w * right);
  }
}

template <bool kQuads, typename T>
LOCKSTEP_FORMULA void MaxPlane(const PoolShape& s, const T* x, T* y) {
  ForWindows(s, [&](const PoolWindow& k, int64_t out) {
    ForLanes<T>(s.layout.block, [&](auto zero, int64_t j) {
      auto m = zero - static_cast<T>(__builtin_inf());
      ForPixels<kQuads>(s, k,
                        [&](int64_t at) { m = math::Larger(m, Load<decltype(m)>(x + at + j)); });
      Store(y + out + j, m);
    });
  });
}

template <typename T>
LOCKSTEP_FORMULA void AveragePlane(const PoolShape& s, const T* x, T* y) {
  ForWindows(s, [&](const PoolWindow& k, int64_t out) {
    const T count = static_cast<T>(k.count);
    ForLanes<T>(s.layout.block, [&](auto zero, int64_t j) {
      auto sum = zero;
      ForPixels(s, k, [&](int64_t at) { sum += Load<decltype(sum)>(x + at + j); });
      Store(y + out + j, sum / count);
    });
  });
}

// Windows that neither overlap nor leave a pixel out: the gradient is written once, not summed.
LOCKSTEP_FORMULA bool Tiles(const PoolShape& s) {
  return s.kh == s.stride_h && s.kw == s.stride_w && s.pad_h == 0 && s.pad_w == 0 &&
         s.out_h * s.kh >= s.x.h && s.out_w * s.kw >= s.x.w;
}

// The first maximum of each window takes its gradient. A NaN is one: nothing else has won over it.
template <bool kTiles, bool kQuads, typename T>
LOCKSTEP_FORMULA void MaxGradientPlane(const PoolShape& s, const T* x, const T* y, const T* dy,
                                       T* dx) {
  ForWindows(s, [&](const PoolWindow& k, int64_t out) {
    ForLanes<T>(s.layout.block, [&](auto zero, int64_t j) {
      using V = decltype(zero);
      const V top = Load<V>(y + out + j), none{};
      V left = Load<V>(dy + out + j);  // of the gradient, where no maximum has been met
      ForPixels<kQuads>(s, k, [&](int64_t at) {
        const V v = Load<V>(x + at + j);
        V part = v == top ? left : none;
        part = v == v ? part : left;
        left = v == top ? none : left;
        left = v == v ? left : none;
        Store(dx + at + j, kTiles ? part : Load<V>(dx + at + j) + part);
      });
    });
  });
}

template <typename T>
LOCKSTEP_FORMULA void AverageGradientPlane(const PoolShape& s, const T* dy, T* dx) {
  ForWindows(s, [&](const PoolWindow& k, int64_t out) {
    const T count = static_cast<T>(k.count);
    ForLanes<T>(s.layout.block, [&](auto zero, int64_t j) {
      using V = decltype(zero);
      const V part = Load<V>(dy + out + j) / count;
      ForPixels(s, k, [&](int64_t at) { Store(dx + at + j, Load<V>(dx + at + j) + part); });
    });
  });
}

template <typename T>
void ForwardPlane(const PoolShape& s, const T* x, T* y) {
  if (s.kind == PoolKind::kAverage) return AveragePlane(s, x, y);
  if (s.layout.block == 1) return PlanarMax(s, x, y);
  IsQuads(s) ? MaxPlane<true>(s, x, y) : MaxPlane<false>(s, x, y);
}

template <typename T>
void BackwardPlane(const PoolShape& s, const T* x, const T* y, const T* dy, T* dx) {
  const bool max = s.kind == PoolKind::kMax;
  if (max && s.layout.block == 1 && IsQuads(s)) return QuadsMaxGradient(s, x, y, dy, dx);
  if (max && IsQuads(s)) return MaxGradientPlane<true, true>(s, x, y, dy, dx);
  if (max && s.layout.block > 1 && Tiles(s)) return MaxGradientPlane<true, false>(s, x, y, dy, dx);
  const int64_t size = s.x.h * s.x.w * s.layout.block;
  __builtin_memset(dx, 0, static_cast<size_t>(size) * sizeof(T));
  if (!max) return AverageGradientPlane(s, dy, dx);
  if (s.layout.block == 1) return PlanarMaxGradient(s, x, y, dy, dx);
  MaxGradientPlane<false, false>(s, x, y, dy, dx);
}

template <typename T>
void Forward(const PoolShape& s, int64_t begin, int64_t end, const T* x, T* y) {
  const int64_t x_plane = s.x.h * s.x.w * s.layout.block;
  const int64_t y_plane = s.out_h * s.out_w * s.layout.block;
  for (int64_t i = begin; i < end; ++i) ForwardPlane(s, x + i * x_plane, y + i * y_plane);
}

template <typename T>
void Backward(const PoolShape& s, int64_t begin, int64_t end, const T* x, const T* y, const T* dy,
              T* dx) {
  const int64_t x_plane = s.x.h * s.x.w * s.layout.block;
  const int64_t y_plane = s.out_h * s.out_w * s.layout.block;
  for (int64_t i = begin; i < end; ++i) {
    BackwardPlane(s, x + i * x_plane, y + i * y_plane, dy + i * y_plane, dx + i * x_plane);
  }
}

}  // namespace

void GetPool(PoolLoops<float>* f32, PoolLoops<double>* f64) {
  *f32 = {Forward<float>, Backward<float>};
  *f64 = {Forward<double>, Backward<double>};
}

}  // namespace lockstep::cpu::LOCKSTEP_ISA
