#include "kernels/cpu/conv/reference.h"

#include "kernels/cpu/conv/picture.h"
#include "kernels/cpu/parallel.h"

namespace lockstep::cpu {
namespace {

// Output positions o with o * stride - pad + tap * dilation == input position, for one axis.
struct Axis {
  int64_t size, out, stride, pad, dilation;

  int64_t Input(int64_t o, int64_t tap) const { return o * stride - pad + tap * dilation; }
  bool Inside(int64_t position) const { return position >= 0 && position < size; }
  // The output position that reads `position` through `tap`, or -1.
  int64_t Output(int64_t position, int64_t tap) const {
    const int64_t o = position + pad - tap * dilation;
    return o >= 0 && o % stride == 0 && o / stride < out ? o / stride : -1;
  }
};

template <typename T>
class ReferenceConv : public ConvKernel {
 public:
  ReferenceConv(const ConvShape& s, ConvPass pass, Layout x, Layout y)
      : s_(s),
        pass_(pass),
        x_(InputPicture(s, x)),
        y_(OutputPicture(s, y)),
        rows_{s.h, s.out_h(), s.stride_h, s.pad_h, s.dilation_h},
        columns_{s.w, s.out_w(), s.stride_w, s.pad_w, s.dilation_w} {}

  size_t scratch_bytes() const override { return 0; }
  size_t prepared_bytes() const override { return 0; }
  void PrepareWeights(const void*, void*) override {}

  void Run(const ConvBuffers& b) override {
    switch (pass_) {
      case ConvPass::kForward:
        ParallelFor(s_.n * s_.k, 1, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) Forward(b, i / s_.k, i % s_.k);
        });
        break;
      case ConvPass::kBackwardData:
        ParallelFor(s_.n * s_.c, 1, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) BackwardData(b, i / s_.c, i % s_.c);
        });
        break;
      case ConvPass::kBackwardWeights:
        ParallelFor(s_.k * group_c(), 1, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) BackwardWeights(b, i / group_c(), i % group_c());
        });
        break;
    }
  }

 private:
  int64_t group_c() const { return s_.c / s_.groups; }
  int64_t group_k() const { return s_.k / s_.groups; }
  // Of the plain weights of output channel k and its group's input channel c.
  int64_t Filter(int64_t k, int64_t c) const { return (k * group_c() + c) * s_.kh * s_.kw; }

  // One picture of one output channel.
  void Forward(const ConvBuffers& b, int64_t n, int64_t k) const {
    const T* x = static_cast<const T*>(b.x);
    T* y = static_cast<T*>(b.y) + y_.Plane(n, k);
    const double bias = b.bias != nullptr ? static_cast<const T*>(b.bias)[k] : 0;
    for (int64_t oh = 0; oh < rows_.out; ++oh) {
      for (int64_t ow = 0; ow < columns_.out; ++ow) {
        double sum = bias;
        for (int64_t c = 0; c < group_c(); ++c) {
          sum += Taps(x + x_.Plane(n, k / group_k() * group_c() + c),
                      static_cast<const T*>(b.weights) + Filter(k, c), oh, ow);
        }
        if (b.activation == Activation::kRelu && sum < 0) sum = 0;
        y[(oh * columns_.out + ow) * y_.pixel_stride()] = static_cast<T>(sum);
      }
    }
  }

  // The taps of one input channel at one output pixel.
  double Taps(const T* x, const T* weights, int64_t oh, int64_t ow) const {
    double sum = 0;
    for (int64_t r = 0; r < s_.kh; ++r) {
      const int64_t h = rows_.Input(oh, r);
      if (!rows_.Inside(h)) continue;
      for (int64_t q = 0; q < s_.kw; ++q) {
        const int64_t w = columns_.Input(ow, q);
        if (!columns_.Inside(w)) continue;
        sum += static_cast<double>(x[(h * s_.w + w) * x_.pixel_stride()]) * weights[r * s_.kw + q];
      }
    }
    return sum;
  }

  // One picture of one input channel.
  void BackwardData(const ConvBuffers& b, int64_t n, int64_t c) const {
    T* dx = static_cast<T*>(b.x) + x_.Plane(n, c);
    const T* weights = static_cast<const T*>(b.weights);
    const int64_t k0 = c / group_c() * group_k();
    for (int64_t h = 0; h < s_.h; ++h) {
      for (int64_t w = 0; w < s_.w; ++w) {
        double sum = 0;
        for (int64_t k = k0; k < k0 + group_k(); ++k) {
          sum += TapsBack(static_cast<const T*>(b.y) + y_.Plane(n, k),
                          weights + Filter(k, c % group_c()), h, w);
        }
        dx[(h * s_.w + w) * x_.pixel_stride()] = static_cast<T>(sum);
      }
    }
  }

  // What one output channel's gradient gives to one input pixel.
  double TapsBack(const T* dy, const T* weights, int64_t h, int64_t w) const {
    double sum = 0;
    for (int64_t r = 0; r < s_.kh; ++r) {
      const int64_t oh = rows_.Output(h, r);
      if (oh < 0) continue;
      for (int64_t q = 0; q < s_.kw; ++q) {
        const int64_t ow = columns_.Output(w, q);
        if (ow < 0) continue;
        sum += static_cast<double>(dy[(oh * columns_.out + ow) * y_.pixel_stride()]) *
               weights[r * s_.kw + q];
      }
    }
    return sum;
  }

  // The taps between one output channel and one input channel of its group.
  void BackwardWeights(const ConvBuffers& b, int64_t k, int64_t c) const {
    T* dw = static_cast<T*>(b.dw) + Filter(k, c);
    for (int64_t r = 0; r < s_.kh; ++r) {
      for (int64_t q = 0; q < s_.kw; ++q) {
        double sum = 0;
        for (int64_t n = 0; n < s_.n; ++n) {
          sum +=
              Correlation(static_cast<const T*>(b.x) + x_.Plane(n, k / group_k() * group_c() + c),
                          static_cast<const T*>(b.y) + y_.Plane(n, k), r, q);
        }
        dw[r * s_.kw + q] = static_cast<T>(sum);
      }
    }
  }

  double Correlation(const T* x, const T* dy, int64_t r, int64_t q) const {
    double sum = 0;
    for (int64_t oh = 0; oh < rows_.out; ++oh) {
      const int64_t h = rows_.Input(oh, r);
      if (!rows_.Inside(h)) continue;
      for (int64_t ow = 0; ow < columns_.out; ++ow) {
        const int64_t w = columns_.Input(ow, q);
        if (!columns_.Inside(w)) continue;
        sum += static_cast<double>(x[(h * s_.w + w) * x_.pixel_stride()]) *
               dy[(oh * columns_.out + ow) * y_.pixel_stride()];
      }
    }
    return sum;
  }

  const ConvShape s_;
  const ConvPass pass_;
  const Picture x_, y_;
  const Axis rows_, columns_;
};

}  // namespace

std::unique_ptr<ConvKernel> MakeReferenceConv(const ConvShape& shape, ConvPass pass, Layout x,
                                              Layout y) {
  if (shape.dtype == DType::kFloat64) {
    return std::make_unique<ReferenceConv<double>>(shape, pass, x, y);
  }
  return std::make_unique<ReferenceConv<float>>(shape, pass, x, y);
}

}  // namespace lockstep::cpu
