// Windows of a pooling, shared by all devices, and its maps as a GPU runs them.
#ifndef LOCKSTEP_KERNELS_MATH_POOLING_H_
#define LOCKSTEP_KERNELS_MATH_POOLING_H_

#include <cstdint>

#include "kernels/math/divisor.h"
#include "kernels/math/extremum.h"
#include "kernels/math/half.h"
#include "kernels/math/host_device.h"
#include "kernels/pool.h"

namespace lockstep::math {

// The part of one output's window that lies inside the picture, along both axes.
struct PoolWindow {
  int64_t h0, h1, w0, w1;
  double count;  // divisor of an average
};

LOCKSTEP_FORMULA PoolWindow WindowOf(const PoolShape& s, int64_t oh, int64_t ow) {
  const int64_t h = oh * s.stride_h - s.pad_h;
  const int64_t w = ow * s.stride_w - s.pad_w;
  PoolWindow k{h < 0 ? 0 : h, h + s.kh < s.x.h ? h + s.kh : s.x.h, w < 0 ? 0 : w,
               w + s.kw < s.x.w ? w + s.kw : s.x.w, 0};
  const bool empty = k.h0 >= k.h1 || k.w0 >= k.w1;
  const int64_t inside = empty ? 1 : (k.h1 - k.h0) * (k.w1 - k.w0);
  k.count = static_cast<double>(s.count_include_pad ? s.kh * s.kw : inside);
  return k;
}

// The same maximum: NaN counts as one.
template <typename T>
LOCKSTEP_FORMULA bool IsTop(T v, T top) {
  return v == top || (v != v && top != top);
}

// Elements [plane][row][column][lane] of x or of y, apart.
struct PoolPoint {
  int64_t plane, h, w, lane;
};

class PoolIndex {
 public:
  LOCKSTEP_FORMULA PoolIndex(int64_t h, int64_t w, int64_t block)
      : by_h_(h < 1 ? 1 : h), by_w_(w < 1 ? 1 : w), by_block_(block) {}

  LOCKSTEP_FORMULA PoolPoint Point(int64_t i) const {
    PoolPoint at;
    const int64_t pixel = by_block_.Divide(i, &at.lane);
    const int64_t row = by_w_.Divide(pixel, &at.w);
    at.plane = by_h_.Divide(row, &at.h);
    return at;
  }
  LOCKSTEP_FORMULA int64_t Offset(const PoolPoint& at, int64_t h, int64_t w) const {
    return ((at.plane * by_h_.value() + h) * by_w_.value() + w) * by_block_.value() + at.lane;
  }

 private:
  Divisor by_h_, by_w_, by_block_;
};

// One element of y.
template <typename T>
struct PoolForwardMap {
  PoolShape shape;
  PoolIndex in, out;
  const T* x;
  T* y;

  LOCKSTEP_FORMULA void operator()(int64_t i) const {
    const PoolPoint at = out.Point(i);
    const PoolWindow k = WindowOf(shape, at.h, at.w);
    const bool is_max = shape.kind == PoolKind::kMax;
    using Sum = Accumulator<T>;
    Sum top = -static_cast<Sum>(__builtin_inf());
    Sum sum = 0;
    for (int64_t h = k.h0; h < k.h1; ++h) {
      for (int64_t w = k.w0; w < k.w1; ++w) {
        const Sum v = x[in.Offset(at, h, w)];
        if (is_max) {
          top = Larger(top, v);
        } else {
          sum += v;
        }
      }
    }
    y[i] = T(is_max ? top : sum / static_cast<Sum>(k.count));
  }
};

// One element of dx, which collects what the windows over it give: no two threads write the same.
template <typename T>
struct PoolBackwardMap {
  using Sum = Accumulator<T>;
  PoolShape shape;
  PoolIndex in, out;
  Divisor by_stride_h, by_stride_w;
  const T* x;
  const T* y;
  const T* dy;
  T* dx;

  LOCKSTEP_FORMULA void operator()(int64_t i) const {
    const PoolPoint at = in.Point(i);
    Sum sum = 0;
    const int64_t oh1 = LastWindow(by_stride_h, at.h + shape.pad_h, shape.out_h);
    const int64_t ow1 = LastWindow(by_stride_w, at.w + shape.pad_w, shape.out_w);
    const int64_t ow0 = FirstWindow(by_stride_w, at.w + shape.pad_w, shape.kw);
    for (int64_t oh = FirstWindow(by_stride_h, at.h + shape.pad_h, shape.kh); oh < oh1; ++oh) {
      for (int64_t ow = ow0; ow < ow1; ++ow) sum += Part(at, i, oh, ow);
    }
    dx[i] = T(sum);
  }

 private:
  // Of the windows along one axis that cover padded position `h`, which is >= 0.
  LOCKSTEP_FORMULA static int64_t FirstWindow(const Divisor& stride, int64_t h, int64_t kernel) {
    return h < kernel ? 0 : stride.Quotient(h - kernel) + 1;
  }
  LOCKSTEP_FORMULA static int64_t LastWindow(const Divisor& stride, int64_t h, int64_t out) {
    const int64_t end = stride.Quotient(h) + 1;
    return end < out ? end : out;
  }

  LOCKSTEP_FORMULA Sum Part(const PoolPoint& at, int64_t i, int64_t oh, int64_t ow) const {
    const PoolWindow k = WindowOf(shape, oh, ow);
    const int64_t o = out.Offset(at, oh, ow);
    if (shape.kind == PoolKind::kAverage) return Sum(dy[o]) / static_cast<Sum>(k.count);
    const Sum top = y[o];
    if (!IsTop(Sum(x[i]), top)) return Sum(0);
    for (int64_t h = k.h0; h <= at.h; ++h) {  // the first maximum wins
      const int64_t end = h < at.h ? k.w1 : at.w;
      for (int64_t w = k.w0; w < end; ++w) {
        if (IsTop(Sum(x[in.Offset(at, h, w)]), top)) return Sum(0);
      }
    }
    return dy[o];
  }
};

}  // namespace lockstep::math

#endif  // LOCKSTEP_KERNELS_MATH_POOLING_H_
