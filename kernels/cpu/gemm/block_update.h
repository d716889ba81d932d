// Updates of parameters by parts of the product that is their gradient.
#ifndef LOCKSTEP_KERNELS_CPU_GEMM_BLOCK_UPDATE_H_
#define LOCKSTEP_KERNELS_CPU_GEMM_BLOCK_UPDATE_H_

#include <cstdint>

#include "kernels/cpu/gemm/product.h"
#include "kernels/cpu/isa/loops.h"
#include "kernels/gemm.h"

namespace lockstep::cpu::gemm {

class BlockUpdate {
 public:
  // Of the parameters whose gradient is `whole`, whose columns are neighbours; all must outlive it.
  BlockUpdate(const OptimizerLoops<float>& loops, const ProductUpdate& update,
              const Product<float>& whole)
      : loops_(loops),
        update_(update),
        c_(whole.c),
        stride_(whole.c_m),
        p_(static_cast<float*>(update.p)),
        s0_(static_cast<float*>(update.s0)),
        s1_(static_cast<float*>(update.s1)) {}

  // rows x columns from the one on whose place in C is `c`; its gradient is `g`, with C's stride.
  void operator()(const float* c, int64_t rows, int64_t columns, const float* g) const {
    loops_.update(update_.args, *update_.numbers, {rows, columns, stride_}, In(p_, c), g,
                  In(s0_, c), In(s1_, c));
  }

 private:
  // Where an element of C lies in an array of the update; null stays null.
  float* In(float* array, const float* c) const {
    return array != nullptr ? array + (c - c_) : nullptr;
  }

  const OptimizerLoops<float>& loops_;
  const ProductUpdate& update_;
  const float* c_;
  int64_t stride_;
  float *p_, *s0_, *s1_;
};

}  // namespace lockstep::cpu::gemm

#endif  // LOCKSTEP_KERNELS_CPU_GEMM_BLOCK_UPDATE_H_
