// Kernel family: batch normalisation (Ioffe and Szegedy, 2015), per channel over (n, h, w).
#ifndef LOCKSTEP_KERNELS_NORM_H_
#define LOCKSTEP_KERNELS_NORM_H_

#include <cstdint>

#include "kernels/dtype.h"
#include "kernels/elementwise.h"
#include "kernels/layout.h"
#include "kernels/pooled_norm.h"
#include "kernels/random.h"

namespace lockstep {

// m = n * h * w values a channel. The work is cut into fixed chunks whose borders depend on the
// shape alone, and their sums are added in order: the same bits for any number of threads.
struct BatchNormShape {
  PictureShape picture;  // h = w = 1 for matrices
  Layout layout;
  DType dtype = DType::kFloat32;  // any floating one
  // What is fused behind the normalisation: y = dropout(activation(bn(x))).
  Activation activation = Activation::kIdentity;  // kIdentity or kRelu
  DropoutArgs dropout;                            // ratio 0: none; needs kRelu when fused
};

// What becomes of the moments of `count` values a channel.
struct MomentsUse {
  int64_t channels = 0;
  DType dtype = DType::kFloat32;  // of the running statistics
  double count = 0.0;
  double eps = 0.0;  // inv_std = 1 / sqrt(m2 / count + eps)
  // running = decay * running + (1 - decay) * batch, whose variance is m2 / divisor.
  double decay = 0.0;
  double divisor = 1.0;
};

// (c,) each, of one dtype: what a normalisation of evaluation reads.
struct NormParameters {
  const void* gamma = nullptr;
  const void* beta = nullptr;
  const void* mean = nullptr;
  const void* variance = nullptr;
};

// The split into sums and applications is what lets lanes or ranks add their sums in between.
// Statistics are double whatever the dtype; x, y and their gradients have BatchNormShape::dtype,
// gamma and beta AccumulatorOf that. Elsewhere `dtype` is kFloat32 or kFloat64.
// All arrays, m among them, lie in the device's memory.
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
                             const double* m, void* dx) = 0;

  // Between sums and applications where there are no other lanes:
  // mean and inv_std to normalise with; running statistics follow those of the batch.
  virtual void FinishMoments(const MomentsUse& use, const double* batch_mean, const double* m2,
                             void* running_mean, void* running_variance, double* mean,
                             double* inv_std) = 0;
  // The sums and m to apply; unless null, dgamma = sum_dz_xhat and dbeta = sum_dz in `dtype`.
  virtual void FinishGradientSums(DType dtype, int64_t channels, double count,
                                  const double* batch_dz, const double* batch_dz_xhat,
                                  double* sum_dz, double* sum_dz_xhat, double* m, void* dgamma,
                                  void* dbeta) = 0;

  // Of evaluation: mean and inv_std to normalise with, of running statistics.
  virtual void LoadRunning(DType dtype, int64_t channels, double eps, const void* running_mean,
                           const void* running_variance, double* mean, double* inv_std) = 0;
  // Weights (channels, row) and bias (channels,) of the layer in front that does the normalisation,
  // too: w * s and (bias - mean) * s + beta with s = gamma / sqrt(variance + eps).
  virtual void FoldIntoWeights(DType dtype, int64_t channels, int64_t row, double eps,
                               const NormParameters& norm, const void* w, const void* bias,
                               void* folded_w, void* folded_bias) = 0;

  // With max pooling behind it; null where the device has no such kernels.
  virtual PooledNormKernels* pooled() { return nullptr; }
};

}  // namespace lockstep

#endif  // LOCKSTEP_KERNELS_NORM_H_
