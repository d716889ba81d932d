#ifndef LOCKSTEP_KERNELS_CUDA_RANDOM_H_
#define LOCKSTEP_KERNELS_CUDA_RANDOM_H_

#include <algorithm>
#include <cmath>

#include "kernels/cuda/dispatch.h"
#include "kernels/dropout_ratio.h"
#include "kernels/math/dropout.h"
#include "kernels/random.h"

namespace lockstep::cuda {

// Throws ConfigError for a ratio outside [0, 1).
inline math::DropoutMask MaskOf(const DropoutArgs& args) {
  return {args.key, args.sample_ids, args.epoch, DropoutThreshold(args.ratio),
          1.0 / (1.0 - args.ratio)};
}

template <typename Stream>
class CudaRandom final : public RandomKernels {
 public:
  // `stream` must outlive this.
  explicit CudaRandom(Stream* stream) : stream_(stream) {}

  void DropoutForward(DType dtype, const PictureShape& shape, Layout layout,
                      const DropoutArgs& args, const void* x, void* y) override {
    const math::DropoutMask mask = MaskOf(args);
    if (args.ratio == 0) {
      const int64_t size = shape.n * shape.c * shape.h * shape.w;
      if (x != y) stream_->Copy(x, y, static_cast<size_t>(size) * SizeOf(dtype));
      return;
    }
    const math::FourGroups groups(shape, layout);
    WithAnyFloat(dtype, [&](auto t) {
      using T = decltype(t);
      using Rule = math::KeepRule<T>;
      stream_->ForEach(
          "dropout", shape.n * groups.groups(),
          math::DropoutMap<math::Accumulator<T>, Rule>{groups, mask, Rule{As(x, t), As(y, t)}});
    });
  }

  void DropoutBackward(DType dtype, const PictureShape& shape, Layout layout,
                       const DropoutArgs& args, const void* dy, void* dx) override {
    DropoutForward(dtype, shape, layout, args, dy, dx);  // linear: its own transpose
  }

  void FillNormal(DType dtype, uint64_t key, double mean, double stddev, int64_t size,
                  void* x) override {
    WithType(dtype, [&](auto t) {
      using T = decltype(t);
      stream_->ForEach("normal numbers", (size + 3) / 4,
                       math::FillNormalMap<T>{key, static_cast<T>(mean), static_cast<T>(stddev),
                                              size, As(x, t)});
    });
  }

  void FillUniform(DType dtype, uint64_t key, double low, double high, int64_t size,
                   void* x) override {
    WithType(dtype, [&](auto t) {
      using T = decltype(t);
      const T first = static_cast<T>(low);
      const T last = std::max(first, std::nextafter(static_cast<T>(high), first));
      stream_->ForEach(
          "uniform numbers", (size + 3) / 4,
          math::FillUniformMap<T>{key, first, static_cast<T>(high - low), last, size, As(x, t)});
    });
  }

 private:
  Stream* stream_;
};

}  // namespace lockstep::cuda

#endif  // LOCKSTEP_KERNELS_CUDA_RANDOM_H_
