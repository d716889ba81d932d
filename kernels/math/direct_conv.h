// Convolutions element by element: what a GPU runs where no library has the shape. Any layout; sums
// are double.
#ifndef LOCKSTEP_KERNELS_MATH_DIRECT_CONV_H_
#define LOCKSTEP_KERNELS_MATH_DIRECT_CONV_H_

#include <cstdint>

#include "kernels/conv.h"
#include "kernels/math/divisor.h"
#include "kernels/math/half.h"
#include "kernels/math/host_device.h"
#include "kernels/math/picture_index.h"

namespace lockstep::math {

// A convolution's two pictures.
struct ConvPictures {
  ConvShape shape;
  int64_t out_h, out_w;
  PictureIndex x, y;

  ConvPictures(const ConvShape& s, Layout x_layout, Layout y_layout)
      : shape(s),
        out_h(s.out_h()),
        out_w(s.out_w()),
        x({s.n, s.c, s.h, s.w}, x_layout),
        y({s.n, s.k, out_h, out_w}, y_layout) {}

  LOCKSTEP_FORMULA int64_t group_c() const { return shape.c / shape.groups; }
  LOCKSTEP_FORMULA int64_t group_k() const { return shape.k / shape.groups; }
  LOCKSTEP_FORMULA int64_t Weight(int64_t k, int64_t c, int64_t r, int64_t q) const {
    return ((k * group_c() + c) * shape.kh + r) * shape.kw + q;
  }
  // The input position that tap `tap` of output position `o` reads, for one axis, or -1.
  LOCKSTEP_FORMULA static int64_t In(int64_t o, int64_t tap, int64_t stride, int64_t pad,
                                     int64_t dilation, int64_t size) {
    const int64_t i = o * stride - pad + tap * dilation;
    return i < size ? i : -1;  // may be negative
  }
  LOCKSTEP_FORMULA int64_t InH(int64_t oh, int64_t r) const {
    return In(oh, r, shape.stride_h, shape.pad_h, shape.dilation_h, shape.h);
  }
  LOCKSTEP_FORMULA int64_t InW(int64_t ow, int64_t q) const {
    return In(ow, q, shape.stride_w, shape.pad_w, shape.dilation_w, shape.w);
  }
  // The output position that reads input position `i` through `tap`, or -1.
  LOCKSTEP_FORMULA static int64_t Out(int64_t i, int64_t tap, int64_t stride, int64_t pad,
                                      int64_t dilation, int64_t out) {
    const int64_t o = i + pad - tap * dilation;
    return o >= 0 && o % stride == 0 && o / stride < out ? o / stride : -1;
  }
  LOCKSTEP_FORMULA int64_t OutH(int64_t h, int64_t r) const {
    return Out(h, r, shape.stride_h, shape.pad_h, shape.dilation_h, out_h);
  }
  LOCKSTEP_FORMULA int64_t OutW(int64_t w, int64_t q) const {
    return Out(w, q, shape.stride_w, shape.pad_w, shape.dilation_w, out_w);
  }
};

// One element of y.
template <typename T>
struct ConvForwardMap {
  ConvPictures pictures;
  const T* x;
  const T* w;
  const T* bias;
  bool relu;
  T* y;

  LOCKSTEP_FORMULA void operator()(int64_t i) const {
    const ConvPictures& p = pictures;
    const PicturePoint at = p.y.Point(i);
    const int64_t oh = at.p / p.out_w, ow = at.p % p.out_w;
    const int64_t c0 = at.c / p.group_k() * p.group_c();
    double sum = bias == nullptr ? 0.0 : static_cast<double>(bias[at.c]);
    for (int64_t c = 0; c < p.group_c(); ++c) {
      for (int64_t r = 0; r < p.shape.kh; ++r) {
        const int64_t h = p.InH(oh, r);
        for (int64_t q = 0; h >= 0 && q < p.shape.kw; ++q) {
          const int64_t column = p.InW(ow, q);
          if (column < 0) continue;
          sum += static_cast<double>(x[p.x.Offset({at.n, c0 + c, h * p.shape.w + column})]) *
                 static_cast<double>(w[p.Weight(at.c, c, r, q)]);
        }
      }
    }
    y[i] = T(static_cast<Accumulator<T>>(relu && sum < 0 ? 0.0 : sum));
  }
};

// One element of dx.
template <typename T>
struct ConvBackwardDataMap {
  ConvPictures pictures;
  const T* dy;
  const T* w;
  T* dx;

  LOCKSTEP_FORMULA void operator()(int64_t i) const {
    const ConvPictures& p = pictures;
    const PicturePoint at = p.x.Point(i);
    const int64_t h = at.p / p.shape.w, column = at.p % p.shape.w;
    const int64_t c = at.c % p.group_c(), k0 = at.c / p.group_c() * p.group_k();
    double sum = 0;
    for (int64_t k = k0; k < k0 + p.group_k(); ++k) {
      for (int64_t r = 0; r < p.shape.kh; ++r) {
        const int64_t oh = p.OutH(h, r);
        for (int64_t q = 0; oh >= 0 && q < p.shape.kw; ++q) {
          const int64_t ow = p.OutW(column, q);
          if (ow < 0) continue;
          sum += static_cast<double>(dy[p.y.Offset({at.n, k, oh * p.out_w + ow})]) *
                 static_cast<double>(w[p.Weight(k, c, r, q)]);
        }
      }
    }
    dx[i] = T(static_cast<Accumulator<T>>(sum));
  }
};

// One element of dw, by a block.
template <typename T>
struct ConvBackwardWeightsBlocks {
  ConvPictures pictures;
  const T* x;
  const T* dy;
  Accumulator<T>* dw;

  template <typename Block>
  LOCKSTEP_FORMULA void operator()(const Block& block, int64_t i) const {
    const ConvPictures& p = pictures;
    const int64_t q = i % p.shape.kw, r = i / p.shape.kw % p.shape.kh;
    const int64_t c = i / (p.shape.kw * p.shape.kh) % p.group_c();
    const int64_t k = i / (p.shape.kw * p.shape.kh * p.group_c());
    const int64_t c0 = k / p.group_k() * p.group_c();
    const int64_t pixels = p.out_h * p.out_w;
    double sum = 0;
    for (int64_t o = block.rank(); o < p.shape.n * pixels; o += block.size()) {
      const int64_t n = o / pixels, at = o % pixels;
      const int64_t h = p.InH(at / p.out_w, r), column = p.InW(at % p.out_w, q);
      if (h < 0 || column < 0) continue;
      sum += static_cast<double>(x[p.x.Offset({n, c0 + c, h * p.shape.w + column})]) *
             static_cast<double>(dy[p.y.Offset({n, k, at})]);
    }
    sum = block.Sum(sum);
    if (block.rank() == 0) dw[i] = static_cast<Accumulator<T>>(sum);
  }
};

// y = activation(y + bias) behind a convolution of a library; bias may be null.
template <typename T>
struct ConvEpilogueMap {
  PictureIndex index;
  const T* bias;
  bool relu;
  T* y;
  LOCKSTEP_FORMULA void operator()(int64_t i) const {
    Accumulator<T> v = y[i];
    if (bias != nullptr) v += Accumulator<T>(bias[index.Point(i).c]);
    y[i] = T(relu && v < 0 ? 0 : v);
  }
};

}  // namespace lockstep::math

#endif  // LOCKSTEP_KERNELS_MATH_DIRECT_CONV_H_
