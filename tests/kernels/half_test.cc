// What every device computes of 16-bit floats is what it computes of the same numbers in float32,
// rounded once.
#include "kernels/math/half.h"

#include <cmath>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <utility>

#include "kernels/cpu/widening/wide_memory.h"
#include "kernels/unavailable.h"
#include "tests/kernels/devices.h"

namespace lockstep::test {
namespace {

using Bits = std::vector<uint16_t>;
using Floats = std::vector<float>;

constexpr DType kHalves[] = {DType::kFloat16, DType::kBfloat16};
// Channels last, planes, blocks of 4; sizes that no vector divides.
constexpr PictureShape kPicture{3, 8, 5, 7};
constexpr Layout kLayouts[] = {{1}, {4}, {8}};

uint16_t Narrow(DType dtype, float x) {
  return dtype == DType::kFloat16 ? math::NarrowHalf(x) : math::NarrowBfloat16(x);
}
float Widen(DType dtype, uint16_t x) {
  return dtype == DType::kFloat16 ? math::WidenHalf(x) : math::WidenBfloat16(x);
}

Bits Narrow(DType dtype, const Floats& x) {
  Bits bits(x.size());
  for (size_t i = 0; i < x.size(); ++i) bits[i] = Narrow(dtype, x[i]);
  return bits;
}
Floats Widen(DType dtype, const Bits& x) {
  Floats floats(x.size());
  for (size_t i = 0; i < x.size(); ++i) floats[i] = Widen(dtype, x[i]);
  return floats;
}

// Numbers that both formats hold, in both.
struct Operand {
  Operand(DType dtype, int64_t size, uint64_t seed, double low = -2, double high = 2)
      : half(Narrow(dtype, Numbers<float>(size, seed, low, high))), wide(Widen(dtype, half)) {}
  Bits half;
  Floats wide;
};

// body(device, dtype) for all of both.
template <typename Body>
void ForDevices(const Body& body) {
  for (const auto& device : Devices()) {
    for (const DType dtype : kHalves) {
      SCOPED_TRACE(device->fingerprint() + " " + std::string(Name(dtype)));
      body(*device, dtype);
    }
  }
}

TEST(HalfKernels, CastsRoundToNearestOnEveryDevice) {
  Floats x = Numbers<float>(5003, 3, -70000, 70000);
  x.insert(x.end(), {0.0F, -0.0F, INFINITY, -INFINITY, NAN, 65519.0F, 65520.0F, 1e-8F, 3e38F});
  ForDevices([&](Backend& device, DType dtype) {
    Bits y(x.size());
    const auto size = static_cast<int64_t>(x.size());
    device.elementwise().Cast(DType::kFloat32, dtype, size, x.data(), y.data());
    EXPECT_EQ(y, Narrow(dtype, x));
    Floats back(x.size());
    device.elementwise().Cast(dtype, DType::kFloat32, size, y.data(), back.data());
    const Floats wanted = Widen(dtype, y);
    EXPECT_EQ(std::memcmp(back.data(), wanted.data(), back.size() * sizeof(float)), 0);
  });
}

TEST(HalfKernels, CastsWithFeedbackKeepWhatRoundingTakes) {
  Floats x = Numbers<float>(5003, 3, -70000, 70000), before = Numbers<float>(5003, 4, -30, 30);
  x.insert(x.end(), {0.0F, INFINITY, -INFINITY, NAN, 65520.0F, 1e-8F, 3.4e38F});
  before.insert(before.end(), {0.0F, 1.0F, 1.0F, 1.0F, 0.0F, 1e-9F, 3e38F});
  ForDevices([&](Backend& device, DType dtype) {
    Bits y(x.size());
    Floats residual = before;
    device.elementwise().CastWithFeedback(dtype, static_cast<int64_t>(x.size()), x.data(),
                                          residual.data(), y.data());
    Floats sums(x.size());
    std::transform(x.begin(), x.end(), before.begin(), sums.begin(), std::plus<float>());
    EXPECT_EQ(y, Narrow(dtype, sums));
    const Floats sent = Widen(dtype, y);
    for (size_t i = 0; i < x.size(); ++i) {
      const float lost = sums[i] - sent[i];
      EXPECT_EQ(residual[i], std::isfinite(lost) ? lost : 0.0F) << x[i] << " + " << before[i];
    }
  });
}

TEST(HalfKernels, MapsAreThoseOfFloat32RoundedOnce) {
  constexpr int64_t kSize = 1003;
  ForDevices([&](Backend& device, DType dtype) {
    const Operand a(dtype, kSize, 1), b(dtype, kSize, 2);
    ElementwiseKernels& k = device.elementwise();
    Bits y(kSize);
    Floats wide(kSize);
    for (const Activation f : {Activation::kIdentity, Activation::kRelu, Activation::kLeakyRelu,
                               Activation::kSigmoid, Activation::kTanh}) {
      k.ActivationForward(dtype, f, 0.2, kSize, a.half.data(), y.data());
      k.ActivationForward(DType::kFloat32, f, 0.2, kSize, a.wide.data(), wide.data());
      EXPECT_EQ(y, Narrow(dtype, wide)) << static_cast<int>(f);
      k.ActivationBackward(dtype, f, 0.2, kSize, a.half.data(), b.half.data(), y.data());
      k.ActivationBackward(DType::kFloat32, f, 0.2, kSize, a.wide.data(), b.wide.data(),
                           wide.data());
      EXPECT_EQ(y, Narrow(dtype, wide)) << static_cast<int>(f);
    }
    k.Add(dtype, kSize, a.half.data(), b.half.data(), y.data());
    k.Add(DType::kFloat32, kSize, a.wide.data(), b.wide.data(), wide.data());
    EXPECT_EQ(y, Narrow(dtype, wide));
    y = a.half;
    k.Scale(dtype, 0.3, kSize, y.data(), y.data());  // in place
    k.Scale(DType::kFloat32, 0.3, kSize, a.wide.data(), wide.data());
    EXPECT_EQ(y, Narrow(dtype, wide));
  });
}

TEST(HalfKernels, CopiesKeepBitsAndWhatLiesBeside) {
  const PictureShape part{kPicture.n, 4, kPicture.h, kPicture.w};
  ForDevices([&](Backend& device, DType dtype) {
    const Operand x(dtype, Size(part), 1), y(dtype, Size(kPicture), 2);
    for (const Layout layout : kLayouts) {
      Bits half = y.half;
      Floats wide = y.wide;
      device.elementwise().CopyChannels(dtype, part, {4}, 1, x.half.data(), kPicture, layout, 3, 2,
                                        half.data());
      device.elementwise().CopyChannels(DType::kFloat32, part, {4}, 1, x.wide.data(), kPicture,
                                        layout, 3, 2, wide.data());
      EXPECT_EQ(half, Narrow(dtype, wide));
      device.elementwise().Reorder(dtype, kPicture, {1}, layout, y.half.data(), half.data());
      device.elementwise().Reorder(DType::kFloat32, kPicture, {1}, layout, y.wide.data(),
                                   wide.data());
      EXPECT_EQ(half, Narrow(dtype, wide));
    }
  });
}

// C with room between its rows, which stays as it is.
TEST(HalfKernels, ProductsAreSumsOfFloat32RoundedOnce) {
  constexpr int64_t kM = 9, kN = 21, kK = 67, kLdc = 24;
  ForDevices([&](Backend& device, DType dtype) {
    const Operand a(dtype, kM * kK, 1), b(dtype, kN * kK, 2), bias(dtype, kN, 3),
        c(dtype, kM * kLdc, 4);
    for (const double beta : {0.0, 1.0}) {
      GemmArgs g{.trans_b = true,
                 .m = kM,
                 .n = kN,
                 .k = kK,
                 .lda = kK,
                 .ldb = kK,
                 .beta = beta,
                 .ldc = kLdc,
                 .activation = Activation::kRelu};
      Floats wide = c.wide;
      g.a = a.wide.data(), g.b = b.wide.data(), g.bias = bias.wide.data(), g.c = wide.data();
      device.gemm().Gemm(DType::kFloat32, g);
      Bits half = c.half;
      g.a = a.half.data(), g.b = b.half.data(), g.bias = bias.half.data(), g.c = half.data();
      device.gemm().Gemm(dtype, g);
      EXPECT_EQ(half, Narrow(dtype, wide)) << beta;
      Floats sums = c.wide;
      g.wide_c = true, g.bias = bias.wide.data(), g.c = sums.data();
      device.gemm().Gemm(dtype, g);
      EXPECT_EQ(sums, wide) << beta;
    }
  });
}

TEST(HalfKernels, PoolingIsThatOfFloat32RoundedOnce) {
  ForDevices([&](Backend& device, DType dtype) {
    for (const PoolKind kind : {PoolKind::kMax, PoolKind::kAverage}) {
      for (const Layout layout : kLayouts) {
        const PoolShape shape{.x = kPicture,
                              .out_h = 3,
                              .out_w = 4,
                              .kh = 2,
                              .kw = 2,
                              .stride_h = 2,
                              .stride_w = 2,
                              .kind = kind,
                              .layout = layout,
                              .dtype = dtype};
        PoolShape wide_shape = shape;
        wide_shape.dtype = DType::kFloat32;
        const int64_t pooled = kPicture.n * kPicture.c * shape.out_h * shape.out_w;
        const Operand x(dtype, Size(kPicture), 1), dy(dtype, pooled, 2);
        Bits y(dy.half.size()), dx(x.half.size());
        Floats wide_y(dy.half.size()), wide_dx(x.half.size());
        device.pool().Forward(shape, x.half.data(), y.data());
        device.pool().Forward(wide_shape, x.wide.data(), wide_y.data());
        EXPECT_EQ(y, Narrow(dtype, wide_y));
        device.pool().Backward(shape, x.half.data(), y.data(), dy.half.data(), dx.data());
        const Floats rounded = Widen(dtype, y);
        device.pool().Backward(wide_shape, x.wide.data(), rounded.data(), dy.wide.data(),
                               wide_dx.data());
        EXPECT_EQ(dx, Narrow(dtype, wide_dx));
      }
    }
  });
}

class Dropped {
 public:
  Dropped() { std::iota(ids_.begin(), ids_.end(), 40); }
  DropoutArgs args() const {
    return {.ratio = 0.25, .key = 99, .epoch = &epoch_, .sample_ids = ids_.data()};
  }

 private:
  uint32_t epoch_ = 2;
  std::vector<int64_t> ids_ = std::vector<int64_t>(static_cast<size_t>(kPicture.n));
};

TEST(HalfKernels, DropoutIsThatOfFloat32RoundedOnce) {
  const Dropped dropped;
  ForDevices([&](Backend& device, DType dtype) {
    const Operand x(dtype, Size(kPicture), 1);
    for (const Layout layout : kLayouts) {
      Bits y(x.half.size());
      Floats wide(x.half.size());
      device.random().DropoutForward(dtype, kPicture, layout, dropped.args(), x.half.data(),
                                     y.data());
      device.random().DropoutForward(DType::kFloat32, kPicture, layout, dropped.args(),
                                     x.wide.data(), wide.data());
      EXPECT_EQ(y, Narrow(dtype, wide));
    }
  });
}

TEST(HalfKernels, SumsOfChannelsAreThoseOfFloat32) {
  ForDevices([&](Backend& device, DType dtype) {
    const Operand x(dtype, Size(kPicture), 1);
    for (const Layout layout : kLayouts) {
      Floats sums(static_cast<size_t>(kPicture.c)), wanted(sums.size());
      device.reduce().ChannelSums(dtype, kPicture, layout, x.half.data(), sums.data());
      device.reduce().ChannelSums(DType::kFloat32, kPicture, layout, x.wide.data(), wanted.data());
      EXPECT_EQ(sums, wanted);
    }
  });
}

// One normalisation with all its steps, of half or of wide operands.
struct Normalisation {
  template <typename T>
  Normalisation(Backend& device, const BatchNormShape& shape, const std::vector<T>& x,
                const std::vector<T>& dy, std::vector<T>* y, std::vector<T>* dx)
      : mean(channels), m2(channels), inv_std(channels, 0.8), dz(channels), dz_xhat(channels) {
    const Floats gamma = Numbers<float>(kPicture.c, 8, 0.5, 1.5), beta = Numbers<float>(8, 9);
    const double m = static_cast<double>(kPicture.n * kPicture.h * kPicture.w);
    NormKernels& k = device.norm();
    k.Moments(shape, x.data(), mean.data(), m2.data());
    k.Normalize(shape, x.data(), mean.data(), inv_std.data(), gamma.data(), beta.data(), y->data());
    k.GradientSums(shape, x.data(), y->data(), dy.data(), mean.data(), inv_std.data(), dz.data(),
                   dz_xhat.data());
    k.GradientApply(shape, x.data(), y->data(), dy.data(), mean.data(), inv_std.data(),
                    gamma.data(), dz.data(), dz_xhat.data(), &m, dx->data());
  }
  static constexpr size_t channels = static_cast<size_t>(kPicture.c);
  std::vector<double> mean, m2, inv_std, dz, dz_xhat;
};

TEST(HalfKernels, NormalisationIsThatOfFloat32RoundedOnce) {
  const Dropped dropped;
  ForDevices([&](Backend& device, DType dtype) {
    const Operand x(dtype, Size(kPicture), 1), dy(dtype, Size(kPicture), 2);
    for (const Layout layout : kLayouts) {
      for (const bool fused : {false, true}) {
        BatchNormShape shape{.picture = kPicture, .layout = layout, .dtype = dtype, .dropout = {}};
        if (fused) shape.activation = Activation::kRelu;
        if (fused) shape.dropout = dropped.args();
        BatchNormShape wide_shape = shape;
        wide_shape.dtype = DType::kFloat32;
        Bits y(x.half.size()), dx(y);
        Floats wide_y(y.size()), wide_dx(y.size());
        const Normalisation half(device, shape, x.half, dy.half, &y, &dx);
        const Normalisation wide(device, wide_shape, x.wide, dy.wide, &wide_y, &wide_dx);
        EXPECT_EQ(half.mean, wide.mean);
        EXPECT_EQ(half.m2, wide.m2);
        EXPECT_EQ(y, Narrow(dtype, wide_y));
        // Which elements pass a gradient is the same: rounding keeps what is not 0 from it here.
        EXPECT_EQ(half.dz, wide.dz);
        EXPECT_EQ(half.dz_xhat, wide.dz_xhat);
        EXPECT_EQ(dx, Narrow(dtype, wide_dx));
      }
    }
  });
}

// All passes of a convolution by every algorithm of the first layouts.
TEST(HalfKernels, ConvolutionsAreThoseOfFloat32RoundedOnce) {
  const ConvShape wide_shape{
      .n = 2, .c = 16, .h = 6, .w = 5, .k = 16, .kh = 3, .kw = 3, .pad_h = 1, .pad_w = 1};
  ForDevices([&](Backend& device, DType dtype) {
    ConvShape shape = wide_shape;
    shape.dtype = dtype;
    const Operand x(dtype, 2 * 16 * 6 * 5, 1), w(dtype, 16 * 16 * 9, 2),
        dy(dtype, 2 * 16 * 6 * 5, 3), bias(dtype, 16, 4);
    const Layout layout = device.conv().Layouts(16, dtype).front();
    for (const ConvPass pass :
         {ConvPass::kForward, ConvPass::kBackwardData, ConvPass::kBackwardWeights}) {
      for (const std::string& algorithm :
           device.conv().Algorithms(shape, pass, layout, layout, false)) {
        SCOPED_TRACE(algorithm);
        const auto run = [&](const ConvShape& s, const void* in_x, const void* in_y,
                             const void* weights, const void* b, void* out, float* dw) {
          const auto kernel = device.conv().Make(s, pass, algorithm, layout, layout);
          std::vector<float> prepared(kernel->prepared_bytes() / 4 + 16);
          std::vector<double> scratch(kernel->scratch_bytes() / 8 + 16);
          void* const aligned =
              reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(scratch.data()) + 63) / 64 * 64);
          void* const place = reinterpret_cast<void*>(
              (reinterpret_cast<uintptr_t>(prepared.data()) + 63) / 64 * 64);
          if (kernel->prepared_bytes() > 0) kernel->PrepareWeights(weights, place);
          const bool forward = pass == ConvPass::kForward, data = pass == ConvPass::kBackwardData;
          kernel->Run({.x = data ? out : const_cast<void*>(in_x),
                       .y = forward ? out : const_cast<void*>(in_y),
                       .weights = kernel->prepared_bytes() > 0 ? place : weights,
                       .dw = dw,
                       .bias = forward ? b : nullptr,
                       .activation = forward ? Activation::kRelu : Activation::kIdentity,
                       .scratch = aligned});
        };
        Bits out(x.half.size());
        Floats wide(x.half.size()), dw(w.half.size()), wide_dw(w.half.size());
        run(shape, x.half.data(), dy.half.data(), w.half.data(), bias.half.data(), out.data(),
            dw.data());
        run(wide_shape, x.wide.data(), dy.wide.data(), w.wide.data(), bias.wide.data(), wide.data(),
            wide_dw.data());
        EXPECT_EQ(dw, wide_dw);
        if (pass != ConvPass::kBackwardWeights) {
          EXPECT_EQ(out, Narrow(dtype, wide));
        }
      }
    }
  });
}

TEST(WideMemory, GivesTheSmallestThatIsLargeEnoughAgain) {
  cpu::WideMemory memory;
  std::vector<cpu::WideMemory::Piece> pieces;
  pieces.push_back(memory.Take(1000));
  pieces.push_back(memory.Take(100));
  const float* const large = pieces[0].memory.get();
  const float* const small = pieces[1].memory.get();
  memory.GiveBack(std::move(pieces));
  pieces.clear();
  pieces.push_back(memory.Take(50));
  pieces.push_back(memory.Take(60));
  EXPECT_EQ(pieces[0].memory.get(), small);
  EXPECT_EQ(pieces[1].memory.get(), large);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(large) % 64, 0U);
}

TEST(WideMemory, FreesWhatItKeepsBeforeItSaysThatThereIsNone) {
  int calls = 0, refusals = 0;
  cpu::WideMemory memory([&](size_t bytes) -> void* {
    ++calls;
    return refusals-- > 0 ? nullptr : std::aligned_alloc(64, bytes);
  });
  std::vector<cpu::WideMemory::Piece> pieces;
  for (int i = 0; i < 3; ++i) pieces.push_back(memory.Take(100));
  memory.GiveBack(std::move(pieces));
  EXPECT_NE(memory.Take(100).memory, nullptr);
  EXPECT_EQ(calls, 3);
  refusals = 1;
  EXPECT_NE(memory.Take(1000).memory, nullptr);
  EXPECT_EQ(calls, 5);
  EXPECT_NE(memory.Take(100).memory, nullptr);  // none of the three is left
  EXPECT_EQ(calls, 6);
  refusals = 2;
  EXPECT_THROW(memory.Take(1000), UnavailableError);
}

// It is called where something else was thrown for want of memory.
static_assert(noexcept(std::declval<cpu::WideMemory&>().GiveBack({})));

TEST(HalfKernels, AreRefusedWhereOnlyFloat32Will) {
  ForDevices([&](Backend& device, DType dtype) {
    const Operand x(dtype, 6, 1);
    Bits y(6);
    EXPECT_THROW(device.softmax().Forward(dtype, 2, 3, x.half.data(), y.data()), Error);
    UpdateNumbers numbers;
    EXPECT_THROW(device.optimizer().Update(dtype, {}, &numbers, 6, y.data(), x.half.data(), nullptr,
                                           nullptr),
                 Error);
  });
}

}  // namespace
}  // namespace lockstep::test
