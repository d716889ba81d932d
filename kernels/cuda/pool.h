#ifndef LOCKSTEP_KERNELS_CUDA_POOL_H_
#define LOCKSTEP_KERNELS_CUDA_POOL_H_

#include "kernels/cuda/dispatch.h"
#include "kernels/math/pooling.h"
#include "kernels/pool.h"

namespace lockstep::cuda {

template <typename Stream>
class CudaPool final : public PoolKernels {
 public:
  // `stream` must outlive this.
  explicit CudaPool(Stream* stream) : stream_(stream) {}

  void Forward(const PoolShape& s, const void* x, void* y) override {
    WithAnyFloat(s.dtype, [&](auto t) {
      stream_->ForEach("pooling", s.x.n * s.x.c * s.out_h * s.out_w,
                       math::PoolForwardMap<decltype(t)>{s, In(s), Out(s), As(x, t), As(y, t)});
    });
  }

  void Backward(const PoolShape& s, const void* x, const void* y, const void* dy,
                void* dx) override {
    WithAnyFloat(s.dtype, [&](auto t) {
      stream_->ForEach("pooling's gradient", s.x.n * s.x.c * s.x.h * s.x.w,
                       math::PoolBackwardMap<decltype(t)>{
                           s, In(s), Out(s), math::Divisor(s.stride_h), math::Divisor(s.stride_w),
                           As(x, t), As(y, t), As(dy, t), As(dx, t)});
    });
  }

 private:
  static math::PoolIndex In(const PoolShape& s) { return {s.x.h, s.x.w, s.layout.block}; }
  static math::PoolIndex Out(const PoolShape& s) { return {s.out_h, s.out_w, s.layout.block}; }

  Stream* stream_;
};

}  // namespace lockstep::cuda

#endif  // LOCKSTEP_KERNELS_CUDA_POOL_H_
