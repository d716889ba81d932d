// Kernel family: batch normalisation (Ioffe and Szegedy, 2015), per channel over (n, h, w).
#ifndef LOCKSTEP_KERNELS_NORM_H_
#define LOCKSTEP_KERNELS_NORM_H_

#include <cstdint>

#include "kernels/dtype.h"
#include "kernels/elementwise.h"
#include "kernels/layout.h"
#include "kernels/random.h"

namespace lockstep {

// m = n * h * w values a channel. The work is cut into fixed chunks whose borders depend on the
// shape alone, and their sums are added in order: the same bits for any number of threads.
struct BatchNormShape {
  PictureShape picture;  // h = w = 1 for matrices
  Layout layout;
  DType dtype = DType::kFloat32;
  // What is fused behind the normalisation: y = dropout(activation(bn(x))).
  Activation activation = Activation::kIdentity;  // kIdentity or kRelu
  DropoutArgs dropout;                            // ratio 0: none; needs kRelu when fused
};

// The split into sums and applications is what lets lanes or ranks add their sums in between.
// Statistics are double whatever the dtype; gamma, beta, x, y and their gradients have `dtype`.
class NormKernels {
 public:
  virtual ~NormKernels() = default;

  // mean[c], and m2[c] = sum of (x - mean)^2: merged over chunks by Chan's formula, so that neither
  // cancels for data far from zero.
  virtual void Moments(const BatchNormShape& shape, const void* x, double* mean, double* m2) = 0;
  // y = dropout(activation((x - mean) * inv_std * gamma + beta)).
  virtual void Normalize(const BatchNormShape& shape, const void* x, const double* mean,
                         const double* inv_std, const void* gamma, const void* beta, void* y) = 0;
  // With dz = dy behind the fused activation and dropout (recovered from y where fused: an output
  // of zero passes nothing, any other passes dy / (1 - ratio)) and xhat = (x - mean) * inv_std:
  // sum_dz[c] = sum of dz, sum_dz_xhat[c] = sum of dz * xhat. These are dbeta and dgamma.
  virtual void GradientSums(const BatchNormShape& shape, const void* x, const void* y,
                            const void* dy, const double* mean, const double* inv_std,
                            double* sum_dz, double* sum_dz_xhat) = 0;
  // dx = gamma * inv_std * (dz - (sum_dz + xhat * sum_dz_xhat) / m); m may count other lanes too.
  virtual void GradientApply(const BatchNormShape& shape, const void* x, const void* y,
                             const void* dy, const double* mean, const double* inv_std,
                             const void* gamma, const double* sum_dz, const double* sum_dz_xhat,
                             double m, void* dx) = 0;
};

}  // namespace lockstep

#endif  // LOCKSTEP_KERNELS_NORM_H_
