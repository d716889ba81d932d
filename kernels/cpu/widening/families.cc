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
  if (!IsHalf(dtype)) return CpuElementwise::ActivationForward(dtype, f, slope, size, x, y);
  Widened wide(tools_, dtype);
  CpuElementwise::ActivationForward(kWide, f, slope, size, wide.In(x, size), wide.Out(y, size));
  wide.Store();
}

void WideningElementwise::ActivationBackward(DType dtype, Activation f, double slope, int64_t size,
                                             const void* y, const void* dy, void* dx) {
  if (!IsHalf(dtype)) return CpuElementwise::ActivationBackward(dtype, f, slope, size, y, dy, dx);
  Widened wide(tools_, dtype);
  CpuElementwise::ActivationBackward(kWide, f, slope, size, wide.In(y, size), wide.In(dy, size),
                                     wide.Out(dx, size));
  wide.Store();
}

void WideningElementwise::Add(DType dtype, int64_t size, const void* a, const void* b, void* y) {
  if (!IsHalf(dtype)) return CpuElementwise::Add(dtype, size, a, b, y);
  Widened wide(tools_, dtype);
  CpuElementwise::Add(kWide, size, wide.In(a, size), wide.In(b, size), wide.Out(y, size));
  wide.Store();
}

void WideningElementwise::Scale(DType dtype, double scale, int64_t size, const void* x, void* y) {
  if (!IsHalf(dtype)) return CpuElementwise::Scale(dtype, scale, size, x, y);
  Widened wide(tools_, dtype);
  CpuElementwise::Scale(kWide, scale, size, wide.In(x, size), wide.Out(y, size));
  wide.Store();
}

void WideningElementwise::Reorder(DType dtype, const PictureShape& shape, Layout from, Layout to,
                                  const void* x, void* y) {
  if (!IsHalf(dtype)) return CpuElementwise::Reorder(dtype, shape, from, to, x, y);
  const int64_t size = SizeOfPicture(shape);
  Widened wide(tools_, dtype);
  CpuElementwise::Reorder(kWide, shape, from, to, wide.In(x, size), wide.Out(y, size));
  wide.Store();
}

// Only some channels of y are written: the others go along.
void WideningElementwise::CopyChannels(DType dtype, const PictureShape& x_shape, Layout x_layout,
                                       int64_t x_offset, const void* x, const PictureShape& y_shape,
                                       Layout y_layout, int64_t y_offset, int64_t channels,
                                       void* y) {
  if (!IsHalf(dtype)) {
    return CpuElementwise::CopyChannels(dtype, x_shape, x_layout, x_offset, x, y_shape, y_layout,
                                        y_offset, channels, y);
  }
  const int64_t size = SizeOfPicture(y_shape);
  Widened wide(tools_, dtype);
  float* const target = wide.Out(y, size);
  CpuElementwise::Cast(dtype, kWide, size, y, target);
  CpuElementwise::CopyChannels(kWide, x_shape, x_layout, x_offset,
                               wide.In(x, SizeOfPicture(x_shape)), y_shape, y_layout, y_offset,
                               channels, target);
  wide.Store();
}

void WideningGemm::Gemm(DType dtype, const GemmArgs& args) {
  if (!IsHalf(dtype)) return CpuGemm::Gemm(dtype, args);
  Widened wide(tools_, dtype);
  GemmArgs g = args;
  g.wide_c = false;
  g.a = args.trans_a ? wide.In(args.a, Span(args.k, args.m, args.lda))
                     : wide.In(args.a, Span(args.m, args.k, args.lda));
  g.b = args.trans_b ? wide.In(args.b, Span(args.n, args.k, args.ldb))
                     : wide.In(args.b, Span(args.k, args.n, args.ldb));
  if (args.wide_c) return CpuGemm::Gemm(kWide, g);
  g.bias = wide.In(args.bias, args.n);
  // What lies between the rows of C stays as it is.
  const int64_t size = Span(args.m, args.n, args.ldc);
  float* const c = wide.Out(args.c, size);
  if (args.beta != 0 || args.ldc != args.n) {
    tools_.elementwise->Cast(dtype, kWide, size, args.c, c);
  }
  g.c = c;
  CpuGemm::Gemm(kWide, g);
  wide.Store();
}

void WideningNorm::Moments(const BatchNormShape& shape, const void* x, double* mean, double* m2) {
  if (!IsHalf(shape.dtype)) return CpuNorm::Moments(shape, x, mean, m2);
  Widened wide(tools_, shape.dtype);
  CpuNorm::Moments(Wide(shape), wide.In(x, SizeOfPicture(shape.picture)), mean, m2);
}

void WideningNorm::Normalize(const BatchNormShape& shape, const void* x, const double* mean,
                             const double* inv_std, const void* gamma, const void* beta, void* y) {
  if (!IsHalf(shape.dtype)) {
    return CpuNorm::Normalize(shape, x, mean, inv_std, gamma, beta, y);
  }
  const int64_t size = SizeOfPicture(shape.picture);
  Widened wide(tools_, shape.dtype);
  CpuNorm::Normalize(Wide(shape), wide.In(x, size), mean, inv_std, gamma, beta, wide.Out(y, size));
  wide.Store();
}

void WideningNorm::GradientSums(const BatchNormShape& shape, const void* x, const void* y,
                                const void* dy, const double* mean, const double* inv_std,
                                double* sum_dz, double* sum_dz_xhat) {
  if (!IsHalf(shape.dtype)) {
    return CpuNorm::GradientSums(shape, x, y, dy, mean, inv_std, sum_dz, sum_dz_xhat);
  }
  const int64_t size = SizeOfPicture(shape.picture);
  Widened wide(tools_, shape.dtype);
  CpuNorm::GradientSums(Wide(shape), wide.In(x, size), wide.In(y, size), wide.In(dy, size), mean,
                        inv_std, sum_dz, sum_dz_xhat);
}

void WideningNorm::GradientApply(const BatchNormShape& shape, const void* x, const void* y,
                                 const void* dy, const double* mean, const double* inv_std,
                                 const void* gamma, const double* sum_dz, const double* sum_dz_xhat,
                                 const double* m, void* dx) {
  if (!IsHalf(shape.dtype)) {
    return CpuNorm::GradientApply(shape, x, y, dy, mean, inv_std, gamma, sum_dz, sum_dz_xhat, m,
                                  dx);
  }
  const int64_t size = SizeOfPicture(shape.picture);
  Widened wide(tools_, shape.dtype);
  CpuNorm::GradientApply(Wide(shape), wide.In(x, size), wide.In(y, size), wide.In(dy, size), mean,
                         inv_std, gamma, sum_dz, sum_dz_xhat, m, wide.Out(dx, size));
  wide.Store();
}

void WideningPool::Forward(const PoolShape& shape, const void* x, void* y) {
  if (!IsHalf(shape.dtype)) return CpuPool::Forward(shape, x, y);
  Widened wide(tools_, shape.dtype);
  CpuPool::Forward(Wide(shape), wide.In(x, SizeOfPicture(shape.x)),
                   wide.Out(y, SizeOfPooled(shape)));
  wide.Store();
}

void WideningPool::Backward(const PoolShape& shape, const void* x, const void* y, const void* dy,
                            void* dx) {
  if (!IsHalf(shape.dtype)) return CpuPool::Backward(shape, x, y, dy, dx);
  const int64_t size = SizeOfPicture(shape.x), pooled = SizeOfPooled(shape);
  Widened wide(tools_, shape.dtype);
  CpuPool::Backward(Wide(shape), wide.In(x, size), wide.In(y, pooled), wide.In(dy, pooled),
                    wide.Out(dx, size));
  wide.Store();
}

void WideningRandom::DropoutForward(DType dtype, const PictureShape& shape, Layout layout,
                                    const DropoutArgs& args, const void* x, void* y) {
  if (!IsHalf(dtype)) return CpuRandom::DropoutForward(dtype, shape, layout, args, x, y);
  const int64_t size = SizeOfPicture(shape);
  Widened wide(tools_, dtype);
  CpuRandom::DropoutForward(kWide, shape, layout, args, wide.In(x, size), wide.Out(y, size));
  wide.Store();
}

void WideningReduce::ChannelSums(DType dtype, const PictureShape& shape, Layout layout,
                                 const void* x, void* y) {
  if (!IsHalf(dtype)) return CpuReduce::ChannelSums(dtype, shape, layout, x, y);
  Widened wide(tools_, dtype);
  CpuReduce::ChannelSums(kWide, shape, layout, wide.In(x, SizeOfPicture(shape)), y);
}

}  // namespace lockstep::cpu
