#include "kernels/cpu/isa/families.h"
#include "kernels/cpu/isa/vec.h"
#include "kernels/math/activation.h"

namespace lockstep::cpu::LOCKSTEP_ISA {
namespace {

// body(rule) with the rule of `f`.
template <typename T, typename Body>
LOCKSTEP_FORMULA void WithRule(Activation f, T slope, const Body& body) {
  switch (f) {
    case Activation::kIdentity:
      return body(math::IdentityRule{});
    case Activation::kRelu:
      return body(math::ReluRule{});
    case Activation::kLeakyRelu:
      return body(math::LeakyReluRule<T>{slope});
    case Activation::kSigmoid:
      return body(math::SigmoidRule{});
    case Activation::kTanh:
      return body(math::TanhRule{});
  }
}

template <typename T>
void ActivationForward(Activation f, T slope, int64_t size, const T* x, T* y) {
  WithRule(f, slope, [&](auto rule) {
    LOCKSTEP_INDEPENDENT
    for (int64_t i = 0; i < size; ++i) y[i] = rule.Forward(x[i]);
  });
}

template <typename T>
void ActivationBackward(Activation f, T slope, int64_t size, const T* y, const T* dy, T* dx) {
  WithRule(f, slope, [&](auto rule) {
    LOCKSTEP_INDEPENDENT
    for (int64_t i = 0; i < size; ++i) dx[i] = rule.Backward(y[i], dy[i]);
  });
}

template <typename T>
void Add(int64_t size, const T* a, const T* b, T* y) {
  LOCKSTEP_INDEPENDENT
  for (int64_t i = 0; i < size; ++i) y[i] = a[i] + b[i];
}

template <typename T>
void Scale(T scale, int64_t size, const T* x, T* y) {
  LOCKSTEP_INDEPENDENT
  for (int64_t i = 0; i < size; ++i) y[i] = scale * x[i];
}

// Pixels that are moved together: source and target lines stay in the first-level cache.
constexpr int64_t kTilePixels = 64;

// Calls body(sample, first pixel, pixels) for the tiles of positions [begin, end).
template <typename Body>
LOCKSTEP_FORMULA void ForTiles(int64_t pixels, int64_t begin, int64_t end, const Body& body) {
  while (begin < end) {
    const int64_t n = begin / pixels;
    const int64_t p = begin % pixels;
    int64_t count = pixels - p < end - begin ? pixels - p : end - begin;
    count = count < kTilePixels ? count : kTilePixels;
    body(n, p, count);
    begin += count;
  }
}

// y[i * y_stride + j] = x[i * x_stride + j] for i < rows, j < run.
template <typename T>
LOCKSTEP_FORMULA void CopyRuns(int64_t rows, int64_t run, const T* __restrict x, int64_t x_stride,
                               T* __restrict y, int64_t y_stride) {
  if (run == 1) {
    for (int64_t i = 0; i < rows; ++i) y[i * y_stride] = x[i * x_stride];
    return;
  }
  if (run == x_stride && run == y_stride) {
    __builtin_memcpy(y, x, static_cast<size_t>(rows * run) * sizeof(T));
    return;
  }
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < run; ++j) y[i * y_stride + j] = x[i * x_stride + j];
  }
}

// Offset of channel c of pixel 0 in a sample.
LOCKSTEP_FORMULA int64_t ChannelOffset(int64_t c, int64_t block, int64_t pixels) {
  return c / block * pixels * block + c % block;
}

template <typename T>
void CopyChannels(const ChannelCopy& k, int64_t begin, int64_t end, const T* x, T* y) {
  ForTiles(k.pixels, begin, end, [&](int64_t n, int64_t p, int64_t count) {
    const T* xs = x + n * k.x_channels * k.pixels + p * k.x_block;
    T* ys = y + n * k.y_channels * k.pixels + p * k.y_block;
    for (int64_t c = 0; c < k.channels;) {
      const int64_t cx = c + k.x_offset;
      const int64_t cy = c + k.y_offset;
      int64_t run = k.x_block - cx % k.x_block;
      run = run < k.y_block - cy % k.y_block ? run : k.y_block - cy % k.y_block;
      run = run < k.channels - c ? run : k.channels - c;
      CopyRuns(count, run, xs + ChannelOffset(cx, k.x_block, k.pixels), k.x_block,
               ys + ChannelOffset(cy, k.y_block, k.pixels), k.y_block);
      c += run;
    }
  });
}

template <typename T>
ElementwiseLoops<T> Of() {
  return {ActivationForward<T>, ActivationBackward<T>, Add<T>, Scale<T>, CopyChannels<T>};
}

}  // namespace

void GetElementwise(ElementwiseLoops<float>* f32, ElementwiseLoops<double>* f64) {
  *f32 = Of<float>();
  *f64 = Of<double>();
}

}  // namespace lockstep::cpu::LOCKSTEP_ISA
