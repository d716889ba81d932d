#include "kernels/cpu/widening/families.h"

namespace lockstep::cpu {
namespace {

constexpr DType kWide = DType::kFloat32;

int64_t SizeOfPicture(const PictureShape& s) { return s.n * s.c * s.h * s.w; }

BatchNormShape Wide(BatchNormShape shape) {
  shape.dtype = kWide;
  return shape;
}

PoolShape Wide(PoolShape shape) {
  shape.dtype = kWide;
  return shape;
}

int64_t SizeOfPooled(const PoolShape& s) { return s.x.n * s.x.c * s.out_h * s.out_w; }

// Of a matrix of `rows` rows as it lies, what is between them included.
int64_t Span(int64_t rows, int64_t columns, int64_t stride) {
  return rows < 1 ? 0 : (rows - 1) * stride + columns;
}

}  // namespace

void WideningElementwise::ActivationForward(DType dtype, Activation f, double slope, int64_t size,
                                            const void* x, void* y) {
  if (!IsHalf(dtype)) return base_.ActivationForward(dtype, f, slope, size, x, y);
  Widened wide(tools_, dtype);
  base_.ActivationForward(kWide, f, slope, size, wide.In(x, size), wide.Out(y, size));
  wide.Store();
}

void WideningElementwise::ActivationBackward(DType dtype, Activation f, double slope, int64_t size,
                                             const void* y, const void* dy, void* dx) {
  if (!IsHalf(dtype)) return base_.ActivationBackward(dtype, f, slope, size, y, dy, dx);
  Widened wide(tools_, dtype);
  base_.ActivationBackward(kWide, f, slope, size, wide.In(y, size), wide.In(dy, size),
                           wide.Out(dx, size));
  wide.Store();
}

void WideningElementwise::Add(DType dtype, int64_t size, const void* a, const void* b, void* y) {
  if (!IsHalf(dtype)) return base_.Add(dtype, size, a, b, y);
  Widened wide(tools_, dtype);
  base_.Add(kWide, size, wide.In(a, size), wide.In(b, size), wide.Out(y, size));
  wide.Store();
}

void WideningElementwise::Scale(DType dtype, double scale, int64_t size, const void* x, void* y) {
  if (!IsHalf(dtype)) return base_.Scale(dtype, scale, size, x, y);
  Widened wide(tools_, dtype);
  base_.Scale(kWide, scale, size, wide.In(x, size), wide.Out(y, size));
  wide.Store();
}

void WideningElementwise::ScaleBy(DType dtype, const double* scale, int64_t size, const void* x,
                                  void* y) {
  base_.ScaleBy(dtype, scale, size, x, y);
}

void WideningElementwise::Cast(DType from, DType to, int64_t size, const void* x, void* y) {
  base_.Cast(from, to, size, x, y);
}

void WideningElementwise::CopyIf(const int64_t* condition, size_t bytes, const void* from,
                                 void* to) {
  base_.CopyIf(condition, bytes, from, to);
}

void WideningElementwise::Reorder(DType dtype, const PictureShape& shape, Layout from, Layout to,
                                  const void* x, void* y) {
  if (!IsHalf(dtype)) return base_.Reorder(dtype, shape, from, to, x, y);
  const int64_t size = SizeOfPicture(shape);
  Widened wide(tools_, dtype);
  base_.Reorder(kWide, shape, from, to, wide.In(x, size), wide.Out(y, size));
  wide.Store();
}

// Only some channels of y are written: the others go along.
void WideningElementwise::CopyChannels(DType dtype, const PictureShape& x_shape, Layout x_layout,
                                       int64_t x_offset, const void* x, const PictureShape& y_shape,
                                       Layout y_layout, int64_t y_offset, int64_t channels,
                                       void* y) {
  if (!IsHalf(dtype)) {
    return base_.CopyChannels(dtype, x_shape, x_layout, x_offset, x, y_shape, y_layout, y_offset,
                              channels, y);
  }
  const int64_t size = SizeOfPicture(y_shape);
  Widened wide(tools_, dtype);
  float* const target = wide.Out(y, size);
  base_.Cast(dtype, kWide, size, y, target);
  base_.CopyChannels(kWide, x_shape, x_layout, x_offset, wide.In(x, SizeOfPicture(x_shape)),
                     y_shape, y_layout, y_offset, channels, target);
  wide.Store();
}

void WideningGemm::Gemm(DType dtype, const GemmArgs& args) {
  if (!IsHalf(dtype)) return base_.Gemm(dtype, args);
  Widened wide(tools_, dtype);
  GemmArgs g = args;
  g.wide_c = false;
  g.a = args.trans_a ? wide.In(args.a, Span(args.k, args.m, args.lda))
                     : wide.In(args.a, Span(args.m, args.k, args.lda));
  g.b = args.trans_b ? wide.In(args.b, Span(args.n, args.k, args.ldb))
                     : wide.In(args.b, Span(args.k, args.n, args.ldb));
  if (args.wide_c) return base_.Gemm(kWide, g);
  g.bias = wide.In(args.bias, args.n);
  // What lies between the rows of C stays as it is.
  const int64_t size = Span(args.m, args.n, args.ldc);
  float* const c = wide.Out(args.c, size);
  if (args.beta != 0 || args.ldc != args.n) {
    tools_.elementwise->Cast(dtype, kWide, size, args.c, c);
  }
  g.c = c;
  base_.Gemm(kWide, g);
  wide.Store();
}

void WideningNorm::Moments(const BatchNormShape& shape, const void* x, double* mean, double* m2) {
  if (!IsHalf(shape.dtype)) return base_.Moments(shape, x, mean, m2);
  Widened wide(tools_, shape.dtype);
  base_.Moments(Wide(shape), wide.In(x, SizeOfPicture(shape.picture)), mean, m2);
}

void WideningNorm::Normalize(const BatchNormShape& shape, const void* x, const double* mean,
                             const double* inv_std, const void* gamma, const void* beta, void* y) {
  if (!IsHalf(shape.dtype)) {
    return base_.Normalize(shape, x, mean, inv_std, gamma, beta, y);
  }
  const int64_t size = SizeOfPicture(shape.picture);
  Widened wide(tools_, shape.dtype);
  base_.Normalize(Wide(shape), wide.In(x, size), mean, inv_std, gamma, beta, wide.Out(y, size));
  wide.Store();
}

void WideningNorm::GradientSums(const BatchNormShape& shape, const void* x, const void* y,
                                const void* dy, const double* mean, const double* inv_std,
                                double* sum_dz, double* sum_dz_xhat) {
  if (!IsHalf(shape.dtype)) {
    return base_.GradientSums(shape, x, y, dy, mean, inv_std, sum_dz, sum_dz_xhat);
  }
  const int64_t size = SizeOfPicture(shape.picture);
  Widened wide(tools_, shape.dtype);
  base_.GradientSums(Wide(shape), wide.In(x, size), wide.In(y, size), wide.In(dy, size), mean,
                     inv_std, sum_dz, sum_dz_xhat);
}

void WideningNorm::GradientApply(const BatchNormShape& shape, const void* x, const void* y,
                                 const void* dy, const double* mean, const double* inv_std,
                                 const void* gamma, const double* sum_dz, const double* sum_dz_xhat,
                                 const double* m, void* dx) {
  if (!IsHalf(shape.dtype)) {
    return base_.GradientApply(shape, x, y, dy, mean, inv_std, gamma, sum_dz, sum_dz_xhat, m, dx);
  }
  const int64_t size = SizeOfPicture(shape.picture);
  Widened wide(tools_, shape.dtype);
  base_.GradientApply(Wide(shape), wide.In(x, size), wide.In(y, size), wide.In(dy, size), mean,
                      inv_std, gamma, sum_dz, sum_dz_xhat, m, wide.Out(dx, size));
  wide.Store();
}

void WideningNorm::FinishMoments(const MomentsUse& use, const double* batch_mean, const double* m2,
                                 void* running_mean, void* running_variance, double* mean,
                                 double* inv_std) {
  base_.FinishMoments(use, batch_mean, m2, running_mean, running_variance, mean, inv_std);
}

void WideningNorm::FinishGradientSums(DType dtype, int64_t channels, double count,
                                      const double* batch_dz, const double* batch_dz_xhat,
                                      double* sum_dz, double* sum_dz_xhat, double* m, void* dgamma,
                                      void* dbeta) {
  base_.FinishGradientSums(dtype, channels, count, batch_dz, batch_dz_xhat, sum_dz, sum_dz_xhat, m,
                           dgamma, dbeta);
}

void WideningNorm::LoadRunning(DType dtype, int64_t channels, double eps, const void* running_mean,
                               const void* running_variance, double* mean, double* inv_std) {
  base_.LoadRunning(dtype, channels, eps, running_mean, running_variance, mean, inv_std);
}

void WideningNorm::FoldIntoWeights(DType dtype, int64_t channels, int64_t row, double eps,
                                   const NormParameters& norm, const void* w, const void* bias,
                                   void* folded_w, void* folded_bias) {
  base_.FoldIntoWeights(dtype, channels, row, eps, norm, w, bias, folded_w, folded_bias);
}

void WideningPool::Forward(const PoolShape& shape, const void* x, void* y) {
  if (!IsHalf(shape.dtype)) return base_.Forward(shape, x, y);
  Widened wide(tools_, shape.dtype);
  base_.Forward(Wide(shape), wide.In(x, SizeOfPicture(shape.x)), wide.Out(y, SizeOfPooled(shape)));
  wide.Store();
}

void WideningPool::Backward(const PoolShape& shape, const void* x, const void* y, const void* dy,
                            void* dx) {
  if (!IsHalf(shape.dtype)) return base_.Backward(shape, x, y, dy, dx);
  const int64_t size = SizeOfPicture(shape.x), pooled = SizeOfPooled(shape);
  Widened wide(tools_, shape.dtype);
  base_.Backward(Wide(shape), wide.In(x, size), wide.In(y, pooled), wide.In(dy, pooled),
                 wide.Out(dx, size));
  wide.Store();
}

void WideningRandom::DropoutForward(DType dtype, const PictureShape& shape, Layout layout,
                                    const DropoutArgs& args, const void* x, void* y) {
  if (!IsHalf(dtype)) return base_.DropoutForward(dtype, shape, layout, args, x, y);
  const int64_t size = SizeOfPicture(shape);
  Widened wide(tools_, dtype);
  base_.DropoutForward(kWide, shape, layout, args, wide.In(x, size), wide.Out(y, size));
  wide.Store();
}

void WideningRandom::DropoutBackward(DType dtype, const PictureShape& shape, Layout layout,
                                     const DropoutArgs& args, const void* dy, void* dx) {
  DropoutForward(dtype, shape, layout, args, dy, dx);  // linear: its own transpose
}

void WideningRandom::FillNormal(DType dtype, uint64_t key, double mean, double stddev, int64_t size,
                                void* x) {
  base_.FillNormal(dtype, key, mean, stddev, size, x);
}

void WideningRandom::FillUniform(DType dtype, uint64_t key, double low, double high, int64_t size,
                                 void* x) {
  base_.FillUniform(dtype, key, low, high, size, x);
}

void WideningReduce::AddSquares(DType dtype, int64_t size, const void* x, double* sum) {
  base_.AddSquares(dtype, size, x, sum);
}

void WideningReduce::ChannelSums(DType dtype, const PictureShape& shape, Layout layout,
                                 const void* x, void* y) {
  if (!IsHalf(dtype)) return base_.ChannelSums(dtype, shape, layout, x, y);
  Widened wide(tools_, dtype);
  base_.ChannelSums(kWide, shape, layout, wide.In(x, SizeOfPicture(shape)), y);
}

int64_t WideningReduce::FirstNonFinite(DType dtype, int64_t size, const void* x) {
  return base_.FirstNonFinite(dtype, size, x);
}

double WideningReduce::LargestMagnitude(DType dtype, int64_t size, const void* x) {
  return base_.LargestMagnitude(dtype, size, x);
}

void WideningReduce::ToFixedPoint(DType dtype, int64_t size, const void* x, double scale,
                                  bool accumulate, int64_t* sums) {
  base_.ToFixedPoint(dtype, size, x, scale, accumulate, sums);
}

void WideningReduce::FromFixedPoint(DType dtype, int64_t size, const int64_t* sums, double scale,
                                    void* y) {
  base_.FromFixedPoint(dtype, size, sums, scale, y);
}

}  // namespace lockstep::cpu
