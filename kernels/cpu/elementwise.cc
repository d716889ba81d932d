#include "kernels/cpu/elementwise.h"

#include <cstring>

#include "kernels/math/maps.h"

namespace lockstep::cpu {
namespace {

// Elements that are worth a thread: sigmoid and tanh take longer over each.
int64_t ActivationGrain(Activation f) {
  return f == Activation::kSigmoid || f == Activation::kTanh ? kGrain / 4 : kGrain;
}

}  // namespace

void CpuElementwise::ActivationForward(DType dtype, Activation f, double slope, int64_t size,
                                       const void* x, void* y) {
  WithType(*isa_, dtype, [&](const auto& loops, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    ParallelElements(size, ActivationGrain(f), [&](int64_t begin, int64_t end) {
      loops.elementwise.activation_forward(f, static_cast<T>(slope), end - begin,
                                           As(x, type) + begin, As(y, type) + begin);
    });
  });
}

void CpuElementwise::ActivationBackward(DType dtype, Activation f, double slope, int64_t size,
                                        const void* y, const void* dy, void* dx) {
  WithType(*isa_, dtype, [&](const auto& loops, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    ParallelElements(size, kGrain, [&](int64_t begin, int64_t end) {
      loops.elementwise.activation_backward(f, static_cast<T>(slope), end - begin,
                                            As(y, type) + begin, As(dy, type) + begin,
                                            As(dx, type) + begin);
    });
  });
}

void CpuElementwise::Add(DType dtype, int64_t size, const void* a, const void* b, void* y) {
  WithType(*isa_, dtype, [&](const auto& loops, auto* type) {
    ParallelElements(size, kGrain, [&](int64_t begin, int64_t end) {
      loops.elementwise.add(end - begin, As(a, type) + begin, As(b, type) + begin,
                            As(y, type) + begin);
    });
  });
}

void CpuElementwise::Scale(DType dtype, double scale, int64_t size, const void* x, void* y) {
  WithType(*isa_, dtype, [&](const auto& loops, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    ParallelElements(size, kGrain, [&](int64_t begin, int64_t end) {
      loops.elementwise.scale(static_cast<T>(scale), end - begin, As(x, type) + begin,
                              As(y, type) + begin);
    });
  });
}

void CpuElementwise::ScaleBy(DType dtype, const double* scale, int64_t size, const void* x,
                             void* y) {
  Scale(dtype, *scale, size, x, y);
}

void CpuElementwise::Cast(DType from, DType to, int64_t size, const void* x, void* y) {
  const CastLoops& loops = isa_->cast;
  const auto cast = [&]<typename From, typename To>(void (*loop)(int64_t, const From*, To*)) {
    ParallelElements(size, kGrain, [&](int64_t begin, int64_t end) {
      loop(end - begin, static_cast<const From*>(x) + begin, static_cast<To*>(y) + begin);
    });
  };
  if (from == DType::kFloat32 && to == DType::kFloat16) return cast(loops.narrow_half);
  if (from == DType::kFloat32 && to == DType::kBfloat16) return cast(loops.narrow_bfloat16);
  if (from == DType::kFloat16 && to == DType::kFloat32) return cast(loops.widen_half);
  if (from == DType::kBfloat16 && to == DType::kFloat32) return cast(loops.widen_bfloat16);
  throw Error(ExitCode::kBug, "cpu cast from " + std::string(Name(from)) + " to " +
                                  std::string(Name(to)) + ", wanted float32 and one of 16 bits");
}

void CpuElementwise::CastWithFeedback(DType to, int64_t size, const void* x, void* residual,
                                      void* y) {
  const auto cast = [&]<typename Half>(Half /*type*/) {
    ParallelElements(size, kGrain, [&](int64_t begin, int64_t end) {
      const math::CastWithFeedbackMap<Half> map{
          static_cast<const float*>(x), static_cast<float*>(residual), static_cast<Half*>(y)};
      for (int64_t i = begin; i < end; ++i) map.template Run<1>(i);
    });
  };
  if (to == DType::kFloat16) return cast(math::Half());
  if (to == DType::kBfloat16) return cast(math::Bfloat16());
  throw Error(ExitCode::kBug,
              "cpu cast with feedback to " + std::string(Name(to)) + ", wanted 16 bits");
}

void CpuElementwise::CopyIf(const int64_t* condition, size_t bytes, const void* from, void* to) {
  if (*condition != 0 && bytes > 0) std::memcpy(to, from, bytes);
}

void CpuElementwise::Reorder(DType dtype, const PictureShape& shape, Layout from, Layout to,
                             const void* x, void* y) {
  CopyChannels(dtype, shape, from, 0, x, shape, to, 0, shape.c, y);
}

void CpuElementwise::CopyChannels(DType dtype, const PictureShape& x_shape, Layout x_layout,
                                  int64_t x_offset, const void* x, const PictureShape& y_shape,
                                  Layout y_layout, int64_t y_offset, int64_t channels, void* y) {
  const int64_t pixels = x_shape.h * x_shape.w;
  // The order of channels at a single pixel is the same in every layout.
  const int64_t x_block = pixels == 1 ? x_shape.c : x_layout.block;
  const int64_t y_block = pixels == 1 ? y_shape.c : y_layout.block;
  const ChannelCopy copy{channels, pixels,    x_shape.c, x_block,
                         x_offset, y_shape.c, y_block,   y_offset};
  WithType(*isa_, dtype, [&](const auto& loops, auto* type) {
    ParallelFor(x_shape.n * pixels, GrainOf(channels), [&](int64_t begin, int64_t end) {
      loops.elementwise.copy_channels(copy, begin, end, As(x, type), As(y, type));
    });
  });
}

}  // namespace lockstep::cpu
