// Pooling of plain NCHW planes: the outputs of a row are the lanes, one tap of the window at a
// time.
#ifndef LOCKSTEP_KERNELS_CPU_ISA_POOL_PLANAR_H_
#define LOCKSTEP_KERNELS_CPU_ISA_POOL_PLANAR_H_

#include <utility>

#include "kernels/cpu/isa/vec.h"
#include "kernels/math/extremum.h"
#include "kernels/pool.h"

namespace lockstep::cpu::LOCKSTEP_ISA {

// Outputs of a row that are worked on together: sizes stack buffers.
inline constexpr int64_t kPlanarOutputs = 256;

// Outputs [begin, end) of one row.
struct OutputRow {
  int64_t oh, begin, end;
};

template <typename Body>
LOCKSTEP_FORMULA void ForOutputRows(const PoolShape& s, const Body& body) {
  for (int64_t oh = 0; oh < s.out_h; ++oh) {
    for (int64_t begin = 0; begin < s.out_w; begin += kPlanarOutputs) {
      const int64_t left = s.out_w - begin;
      body(OutputRow{oh, begin, begin + (left < kPlanarOutputs ? left : kPlanarOutputs)});
    }
  }
}

// body(first, last, x offset of output 0) for each tap of the row's windows, in row-major order:
// outputs [first, last) have a pixel under it, output i the one at offset + i * stride_w.
template <typename Body>
LOCKSTEP_FORMULA void ForTaps(const PoolShape& s, const OutputRow& row, const Body& body) {
  for (int64_t i = 0; i < s.kh; ++i) {
    const int64_t h = row.oh * s.stride_h - s.pad_h + i;
    if (h < 0 || h >= s.x.h) continue;
    for (int64_t j = 0; j < s.kw; ++j) {
      const int64_t w = j - s.pad_w;  // of output 0
      int64_t first = w < 0 ? (-w + s.stride_w - 1) / s.stride_w : 0;
      int64_t last = w < s.x.w ? (s.x.w - 1 - w) / s.stride_w + 1 : 0;
      first = first > row.begin ? first : row.begin;
      last = last < row.end ? last : row.end;
      if (first < last) body(first, last, h * s.x.w + w);
    }
  }
}

// body(stride) with the stride as a constant where that makes vector code.
template <typename Body>
LOCKSTEP_FORMULA void WithStride(int64_t stride, const Body& body) {
  if (stride == 1) return body(int64_t{1});
  if (stride == 2) return body(int64_t{2});
  body(stride);
}

// The commonest pooling: 2x2 windows side by side over the whole plane.
LOCKSTEP_FORMULA bool IsQuads(const PoolShape& s) {
  return s.kh == 2 && s.kw == 2 && s.stride_h == 2 && s.stride_w == 2 && s.pad_h == 0 &&
         s.pad_w == 0 && s.x.h == 2 * s.out_h && s.x.w == 2 * s.out_w;
}

template <typename T>
LOCKSTEP_FORMULA void QuadsMax(const PoolShape& s, const T* __restrict x, T* __restrict y) {
  for (int64_t oh = 0; oh < s.out_h; ++oh, x += 2 * s.x.w, y += s.out_w) {
    const T* __restrict below = x + s.x.w;
    for (int64_t i = 0; i < s.out_w; ++i) {
      const T upper = math::Larger(x[2 * i], x[2 * i + 1]);
      y[i] = math::Larger(upper, math::Larger(below[2 * i], below[2 * i + 1]));
    }
  }
}

template <typename T>
LOCKSTEP_FORMULA T TakeGradient(T v, T top, T* left) {
  const bool hit = (v == top) | ((v != v) & (top != top));
  const T taken = hit ? *left : T(0);
  *left = hit ? T(0) : *left;
  return taken;
}

// Two rows of pixels, a vector of each: kLanes / 2 windows.
template <typename T>
struct QuadVectors {
  using V = Vec<T>;
  typedef T Half __attribute__((vector_size(kVecBytes / 2)));
  using Mask = decltype(V{} == V{});
  using Lanes = std::make_integer_sequence<int, static_cast<int>(kLanes<T>)>;

  template <int... kLane>
  LOCKSTEP_FORMULA static V Twice(Half h, std::integer_sequence<int, kLane...>) {
    return __builtin_shufflevector(h, h, kLane / 2 ...);
  }
  template <int... kLane>
  LOCKSTEP_FORMULA static Mask Neighbours(Mask m, std::integer_sequence<int, kLane...>) {
    return __builtin_shufflevector(m, m, kLane ^ 1 ...);
  }
  template <int... kLane>
  LOCKSTEP_FORMULA static Mask LeftLanes(std::integer_sequence<int, kLane...>) {
    return Mask{(kLane % 2 - 1)...};
  }

  // The gradients of windows whose maxima are at y go to their first maxima.
  LOCKSTEP_FORMULA static void TakeGradients(const T* x, int64_t below, const T* y, const T* dy,
                                             T* dx) {
    const V top = Twice(Load<Half>(y), Lanes{});
    const V gradient = Twice(Load<Half>(dy), Lanes{});
    const Mask nan = top != top, left = LeftLanes(Lanes{});
    const V upper = Load<V>(x), lower = Load<V>(x + below);
    const Mask upper_hit = (upper == top) | ((upper != upper) & nan);
    const Mask lower_hit = (lower == top) | ((lower != lower) & nan);
    const Mask upper_other = Neighbours(upper_hit, Lanes{});
    const Mask lower_other = Neighbours(lower_hit, Lanes{});
    const Mask upper_takes = upper_hit & (left | ~upper_other);
    const Mask lower_takes = lower_hit & (left | ~lower_other) & ~(upper_hit | upper_other);
    Store(dx, upper_takes ? gradient : V{});
    Store(dx + below, lower_takes ? gradient : V{});
  }
};

template <typename T>
LOCKSTEP_FORMULA void QuadsMaxGradient(const PoolShape& s, const T* x, const T* y, const T* dy,
                                       T* dx) {
  constexpr int64_t kWindows = kLanes<T> / 2;
  const int64_t w = s.x.w;
  for (int64_t oh = 0; oh < s.out_h; ++oh, x += 2 * w, dx += 2 * w, y += s.out_w, dy += s.out_w) {
    int64_t i = 0;
    for (; i + kWindows <= s.out_w; i += kWindows) {
      QuadVectors<T>::TakeGradients(x + 2 * i, w, y + i, dy + i, dx + 2 * i);
    }
    for (; i < s.out_w; ++i) {
      T left = dy[i];
      dx[2 * i] = TakeGradient(x[2 * i], y[i], &left);
      dx[2 * i + 1] = TakeGradient(x[2 * i + 1], y[i], &left);
      dx[w + 2 * i] = TakeGradient(x[w + 2 * i], y[i], &left);
      dx[w + 2 * i + 1] = TakeGradient(x[w + 2 * i + 1], y[i], &left);
    }
  }
}

template <typename T>
LOCKSTEP_FORMULA void PlanarMax(const PoolShape& s, const T* x, T* y) {
  if (IsQuads(s)) return QuadsMax(s, x, y);
  ForOutputRows(s, [&](const OutputRow& row) {
    T top[kPlanarOutputs];
    for (int64_t i = row.begin; i < row.end; ++i) {
      top[i - row.begin] = -static_cast<T>(__builtin_inf());
    }
    ForTaps(s, row, [&](int64_t first, int64_t last, int64_t at) {
      WithStride(s.stride_w, [&](int64_t stride) {
        for (int64_t i = first; i < last; ++i) {
          top[i - row.begin] = math::Larger(top[i - row.begin], x[at + i * stride]);
        }
      });
    });
    for (int64_t i = row.begin; i < row.end; ++i) y[row.oh * s.out_w + i] = top[i - row.begin];
  });
}

// dx starts as zeros. What is left of a window's gradient is taken by its first maximum.
template <typename T>
LOCKSTEP_FORMULA void PlanarMaxGradient(const PoolShape& s, const T* x, const T* y, const T* dy,
                                        T* dx) {
  ForOutputRows(s, [&](const OutputRow& row) {
    T top[kPlanarOutputs];
    T left[kPlanarOutputs];
    for (int64_t i = row.begin; i < row.end; ++i) {
      top[i - row.begin] = y[row.oh * s.out_w + i];
      left[i - row.begin] = dy[row.oh * s.out_w + i];
    }
    ForTaps(s, row, [&](int64_t first, int64_t last, int64_t at) {
      WithStride(s.stride_w, [&](int64_t stride) {
        LOCKSTEP_INDEPENDENT
        for (int64_t i = first; i < last; ++i) {
          const int64_t k = i - row.begin;
          dx[at + i * stride] += TakeGradient(x[at + i * stride], top[k], left + k);
        }
      });
    });
  });
}

}  // namespace lockstep::cpu::LOCKSTEP_ISA

#endif  // LOCKSTEP_KERNELS_CPU_ISA_POOL_PLANAR_H_
