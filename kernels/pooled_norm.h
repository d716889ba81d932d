// Kernels: batch normalisation and ReLU with max pooling by 2x2 behind them, whose input is never
// in memory.
#ifndef LOCKSTEP_KERNELS_POOLED_NORM_H_
#define LOCKSTEP_KERNELS_POOLED_NORM_H_

namespace lockstep {

struct BatchNormShape;

// As the functions of the same names of NormKernels, of float32 and float64, with y the largest of
// relu((x - mean) * inv_std * gamma + beta) in windows of 2x2 side by side, which cover x: its
// height and width are even, and those of y and dy half of them, in the same layout. The shape says
// Activation::kRelu and no dropout; it is x's.
//
// y has the bits that pooling by itself gives it. Its gradient goes to the pixel whose x made it
// the largest, the first where several are equal.
class PooledNormKernels {
 public:
  virtual ~PooledNormKernels() = default;
  virtual void Normalize(const BatchNormShape& shape, const void* x, const double* mean,
                         const double* inv_std, const void* gamma, const void* beta, void* y) = 0;
  virtual void GradientSums(const BatchNormShape& shape, const void* x, const void* y,
                            const void* dy, const double* mean, const double* inv_std,
                            const void* gamma, double* sum_dz, double* sum_dz_xhat) = 0;
  virtual void GradientApply(const BatchNormShape& shape, const void* x, const void* y,
                             const void* dy, const double* mean, const double* inv_std,
                             const void* gamma, const double* sum_dz, const double* sum_dz_xhat,
                             const double* m, void* dx) = 0;
};

}  // namespace lockstep

#endif  // LOCKSTEP_KERNELS_POOLED_NORM_H_
