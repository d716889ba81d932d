#ifndef LOCKSTEP_KERNELS_CUDA_REDUCE_H_
#define LOCKSTEP_KERNELS_CUDA_REDUCE_H_

#include "kernels/cuda/dispatch.h"
#include "kernels/math/channel_sums.h"
#include "kernels/math/fixed_point.h"
#include "kernels/math/sums.h"
#include "kernels/reduce.h"

namespace lockstep::cuda {

// The functions that return a number wait for it.
template <typename Stream>
class CudaReduce final : public ReduceKernels {
 public:
  // `stream` must outlive this.
  explicit CudaReduce(Stream* stream) : stream_(stream) {}

  void AddSquares(DType dtype, int64_t size, const void* x, double* sum) override {
    WithType(dtype, [&](auto t) {
      using T = decltype(t);
      const math::Parts cut{size, math::PartsOf(size)};
      auto* const parts =
          static_cast<double*>(stream_->Scratch(static_cast<size_t>(cut.parts) * sizeof(double)));
      stream_->ForBlocks("sum of squares", cut.parts,
                         math::SumParts<math::SquareTerm<T>>{cut, {As(x, t)}, parts});
      stream_->ForBlocks("sum of parts", 1, math::AddParts{cut.parts, parts, sum});
    });
  }

  void ChannelSums(DType dtype, const PictureShape& shape, Layout layout, const void* x,
                   void* y) override {
    WithAnyFloat(dtype, [&](auto t) {
      using T = decltype(t);
      using A = math::Accumulator<T>;
      const math::ChannelTiles tiles(shape.n, shape.c, shape.h * shape.w, layout.block);
      double* const parts = static_cast<double*>(
          stream_->Scratch(static_cast<size_t>(tiles.parts * shape.c) * sizeof(double)));
      stream_->ForBlocks(
          "sums of channels", tiles.blocks(),
          math::ChannelSumParts<A, math::ValueTerm<T>>{tiles, {As(x, t)}, parts, nullptr});
      stream_->ForBlocks("sums of channels' parts", shape.c,
                         math::AddChannelParts<A>{shape.c, tiles.parts, parts, static_cast<A*>(y)});
    });
  }

  int64_t FirstNonFinite(DType dtype, int64_t size, const void* x) override {
    return WithType(dtype, [&](auto t) {
      const int64_t first =
          Largest(size, math::NonFiniteTerm<decltype(t)>{As(x, t)}, math::kAllFinite);
      return first == math::kAllFinite ? int64_t{-1} : -first;
    });
  }

  double LargestMagnitude(DType dtype, int64_t size, const void* x) override {
    return WithType(dtype, [&](auto t) {
      using T = decltype(t);
      const int64_t bits = Largest(size, math::MagnitudeTerm<T>{As(x, t)}, 0);
      return math::OfMagnitude<T>(static_cast<typename math::Bits<T>::Int>(bits));
    });
  }

  void ToFixedPoint(DType dtype, int64_t size, const void* x, double scale, bool accumulate,
                    int64_t* sums) override {
    WithType(dtype, [&](auto t) {
      stream_->ForEach("fixed-point terms", size,
                       math::ToFixedPointMap<decltype(t)>{As(x, t), scale, accumulate, sums});
    });
  }

  void FromFixedPoint(DType dtype, int64_t size, const int64_t* sums, double scale,
                      void* y) override {
    WithType(dtype, [&](auto t) {
      stream_->ForEach("fixed-point sums", size,
                       math::FromFixedPointMap<decltype(t)>{sums, scale, As(y, t)});
    });
  }

 private:
  template <typename Value>
  Value* PartsAndTotal(int64_t parts) {
    return static_cast<Value*>(stream_->Scratch(static_cast<size_t>(parts + 1) * sizeof(Value)));
  }
  template <typename Value>
  Value Fetch(const Value* value) {
    Value host;
    stream_->Download(value, &host, sizeof(Value));
    return host;
  }

  template <typename Term>
  int64_t Largest(int64_t size, const Term& term, int64_t none) {
    const math::Parts cut{size, math::PartsOf(size)};
    int64_t* const parts = PartsAndTotal<int64_t>(cut.parts);
    stream_->ForBlocks("maximum", cut.parts, math::MaxParts<int64_t, Term>{cut, term, none, parts});
    using PartTerm = math::PartTerm<int64_t>;
    stream_->ForBlocks(
        "maximum of parts", 1,
        math::MaxParts<int64_t, PartTerm>{{cut.parts, 1}, {parts}, none, parts + cut.parts});
    return Fetch(parts + cut.parts);
  }

  Stream* stream_;
};

}  // namespace lockstep::cuda

#endif  // LOCKSTEP_KERNELS_CUDA_REDUCE_H_
