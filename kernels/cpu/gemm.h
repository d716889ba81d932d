// Matrix products on the CPU: own packed micro-kernels per instruction set, float32 and float64;
// for float32 the tiles of AMX where there are any.
#ifndef LOCKSTEP_KERNELS_CPU_GEMM_H_
#define LOCKSTEP_KERNELS_CPU_GEMM_H_

#include "kernels/cpu/gemm/product.h"
#include "kernels/cpu/isa/loops.h"
#include "kernels/gemm.h"

namespace lockstep::cpu {

// Every element of C is one sum over k in an order that depends on n and k only: the bits are the
// same for any number of threads and of rows. Has no state; may be called from several threads at
// once.
class CpuGemm : public GemmKernels {
 public:
  explicit CpuGemm(Isa isa = BestIsa());

  // Throws ShapeError for a dtype, beta or activation outside GemmArgs' contract.
  void Gemm(DType dtype, const GemmArgs& args) override;
  bool can_update(DType dtype, const GemmArgs& args) const override;
  void GemmUpdate(DType dtype, const GemmArgs& args, const ProductUpdate& update) override;

  // One product on the calling thread alone, for kernels that spread their work themselves.
  void Product(const gemm::Product<float>& product) const { table_->product_f32(product); }
  void Product(const gemm::Product<double>& product) const { table_->product_f64(product); }

  // Float32 elements of a vector register.
  int lanes() const { return table_->lanes; }
  Isa isa() const { return isa_; }

 private:
  bool RunsOnTiles(const GemmArgs& args) const;

  Isa isa_;
  const gemm::Table* table_;
  OptimizerLoops<float> update_;
};

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_GEMM_H_
