// Convolution on AMX tiles, beyond what conv_test.cc asks of every algorithm: bits that do not
// depend on threads or on other pictures, and elements that pieces of bfloat16 do not hold. Skipped
// where the machine has no tiles.
#include "kernels/cpu/conv/tile_conv.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/cpu/amx/usable.h"
#include "kernels/cpu/conv/conv.h"
#include "kernels/cpu/parallel.h"
#include "kernels/error.h"

namespace lockstep::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// n, c, h, w, k, kh, kw, stride, pad, dilation: more filters, elements or pixels than a tile, a
// square or a chunk has, and fewer.
const ConvShape kShapes[] = {
    {5, 20, 12, 12, 50, 5, 5},
    {7, 3, 5, 3, 2, 2, 3, 1, 1, 1, 0},
    {3, 33, 9, 7, 70, 3, 3, 2, 2, 1, 1},
    {9, 17, 6, 5, 33, 3, 2, 1, 2, 2, 1, 2, 3},
    {2, 1, 31, 29, 20, 5, 5},
    {4, 100, 3, 3, 17, 3, 3, 1, 1, 1, 1},
};

using Floats = std::vector<float>;

Floats RandomFloats(int64_t size, uint32_t seed) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  Floats values(static_cast<size_t>(size));
  for (float& value : values) value = uniform(engine);
  return values;
}

// Pictures with channels last, weights and gradients of one convolution.
struct Tensors {
  ConvShape s;
  Floats x, y, w, bias;

  explicit Tensors(const ConvShape& shape)
      : s(shape),
        x(RandomFloats(s.n * s.c * s.h * s.w, 1)),
        y(RandomFloats(s.n * s.k * s.out_h() * s.out_w(), 2)),
        w(RandomFloats(s.k * s.c * s.kh * s.kw, 3)),
        bias(RandomFloats(s.k, 4)) {}

  size_t x_size() const { return x.size() / static_cast<size_t>(s.n); }
  size_t y_size() const { return y.size() / static_cast<size_t>(s.n); }
  // Picture n alone.
  Tensors Alone(int64_t n) const {
    Tensors alone = *this;
    alone.s.n = 1;
    const auto i = static_cast<std::ptrdiff_t>(n);
    const auto dx = static_cast<std::ptrdiff_t>(x_size());
    const auto dy = static_cast<std::ptrdiff_t>(y_size());
    alone.x.assign(x.begin() + i * dx, x.begin() + (i + 1) * dx);
    alone.y.assign(y.begin() + i * dy, y.begin() + (i + 1) * dy);
    return alone;
  }
};

// What a pass writes.
Floats Result(const Tensors& tensors, ConvPass pass, const std::string& algorithm = "tile_gemm") {
  const ConvShape& s = tensors.s;
  const CpuGemm gemm(Isa::kAmx);
  const auto kernel = CpuConv(&gemm).Make(s, pass, algorithm, {s.c}, {s.k});
  Tensors t = tensors;
  Floats dw(t.w.size(), NAN);
  Floats scratch(kernel->scratch_bytes() / sizeof(float) + 16, NAN);
  void* aligned = scratch.data();
  size_t space = scratch.size() * sizeof(float);
  std::align(64, kernel->scratch_bytes(), aligned, space);
  Floats& written = pass == ConvPass::kForward ? t.y : pass == ConvPass::kBackwardData ? t.x : dw;
  written.assign(written.size(), NAN);
  ConvBuffers b;
  b.x = t.x.data();
  b.y = t.y.data();
  b.weights = t.w.data();
  b.dw = dw.data();
  b.bias = t.bias.data();
  b.scratch = aligned;
  kernel->Run(b);
  return written;
}

bool SameBits(const float* a, const float* b, size_t size) {
  return std::memcmp(a, b, size * sizeof(float)) == 0;
}

class TileConv : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!IsAmxUsable()) GTEST_SKIP() << "this machine has no AMX tiles, or does not permit them";
  }
  void TearDown() override { SetThreads(1); }
};

TEST_F(TileConv, MatchesTheDefinitionBeyondOneTile) {
  for (const ConvShape& s : kShapes) {
    const Tensors t(s);
    for (const ConvPass pass :
         {ConvPass::kForward, ConvPass::kBackwardData, ConvPass::kBackwardWeights}) {
      const Floats found = Result(t, pass), wanted = Result(t, pass, "reference");
      double scale = 1;
      for (const float value : wanted) scale = std::max(scale, std::abs(double{value}));
      for (size_t i = 0; i < wanted.size(); ++i) {
        ASSERT_NEAR(found[i], wanted[i], 2e-6 * scale)
            << "pass " << static_cast<int>(pass) << " of " << s.c << " to " << s.k
            << " channels, element " << i;
      }
    }
  }
}

TEST_F(TileConv, BitsDoNotDependOnTheNumberOfThreads) {
  for (const ConvShape& s : kShapes) {
    const Tensors t(s);
    for (const ConvPass pass :
         {ConvPass::kForward, ConvPass::kBackwardData, ConvPass::kBackwardWeights}) {
      SetThreads(1);
      const Floats wanted = Result(t, pass);
      for (const int threads : {2, 3, 5}) {
        SetThreads(threads);
        const Floats found = Result(t, pass);
        EXPECT_TRUE(SameBits(found.data(), wanted.data(), wanted.size()))
            << threads << " threads, pass " << static_cast<int>(pass);
      }
    }
  }
}

TEST_F(TileConv, APicturesBitsDoNotDependOnTheOthers) {
  SetThreads(2);
  for (const ConvShape& s : kShapes) {
    const Tensors t(s);
    const Floats y = Result(t, ConvPass::kForward), dx = Result(t, ConvPass::kBackwardData);
    for (int64_t n = 0; n < s.n; ++n) {
      const Tensors alone = t.Alone(n);
      const auto i = static_cast<size_t>(n);
      EXPECT_TRUE(SameBits(Result(alone, ConvPass::kForward).data(), y.data() + i * t.y_size(),
                           t.y_size()));
      EXPECT_TRUE(SameBits(Result(alone, ConvPass::kBackwardData).data(),
                           dx.data() + i * t.x_size(), t.x_size()));
    }
  }
}

// That make up an element of what a pass writes.
int64_t ProductsOf(const ConvShape& s, ConvPass pass) {
  switch (pass) {
    case ConvPass::kForward:
      return s.kh * s.kw * s.c;
    case ConvPass::kBackwardData:
      return s.kh * s.kw * s.k;
    case ConvPass::kBackwardWeights:
      break;
  }
  return s.n * s.out_h() * s.out_w();
}

Tensors Magnitudes(Tensors t) {
  for (Floats* values : {&t.x, &t.y, &t.w, &t.bias}) {
    for (float& value : *values) value = std::abs(value);
  }
  return t;
}

// A pass with elements that tiles cannot take: it is im2col's, up to rounding, and nowhere finite
// where the definition is not. (Zeros of the padding times an infinity are NaN, which the
// definition leaves out.)
void ExpectIm2cols(const Tensors& t, ConvPass pass, const Floats& found) {
  const Floats wanted = Result(t, pass, "im2col_gemm"), defined = Result(t, pass, "reference");
  // Both round sums of k products, and so err by about sqrt(k) roundings of what is added up, not
  // of what is left of it (N. Higham, T. Mary, "A New Approach to Probabilistic Rounding Error
  // Analysis", 2019).
  const Floats sizes = Result(Magnitudes(t), pass, "im2col_gemm");
  const double roundings = std::sqrt(static_cast<double>(ProductsOf(t.s, pass)));
  ASSERT_EQ(found.size(), wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (!std::isfinite(defined[i])) {
      ASSERT_FALSE(std::isfinite(found[i])) << i;
    }
    if (std::isnan(wanted[i])) {
      ASSERT_TRUE(std::isnan(found[i])) << i;
    } else if (std::isinf(wanted[i])) {
      ASSERT_EQ(found[i], wanted[i]) << i;
    } else {
      ASSERT_NEAR(found[i], wanted[i], roundings * 0x1p-24 * sizes[i]) << i;
    }
  }
}

TEST_F(TileConv, AnInfinityIsThatOfItsPictureAlone) {
  SetThreads(2);
  for (const ConvShape& s : kShapes) {
    for (const float value : {kInfinity, -kInfinity, NAN, 3.4e38F}) {
      const Tensors ordinary(s);
      Tensors t = ordinary;
      t.x[t.x_size() + t.x_size() / 2] = value;  // in the second picture
      t.y[t.y_size() + t.y_size() / 2] = value;
      for (const ConvPass pass : {ConvPass::kForward, ConvPass::kBackwardData}) {
        const Floats found = Result(t, pass), before = Result(ordinary, pass);
        ExpectIm2cols(t, pass, found);
        const size_t size = found.size() / static_cast<size_t>(s.n);
        EXPECT_TRUE(SameBits(found.data(), before.data(), size));
        EXPECT_TRUE(
            SameBits(found.data() + 2 * size, before.data() + 2 * size, found.size() - 2 * size));
      }
      ExpectIm2cols(t, ConvPass::kBackwardWeights, Result(t, ConvPass::kBackwardWeights));
    }
  }
}

TEST_F(TileConv, InfiniteWeightsAreNotHidden) {
  for (const ConvShape& s : kShapes) {
    Tensors t(s);
    t.w[t.w.size() / 2] = kInfinity;
    t.w.back() = NAN;
    for (const ConvPass pass : {ConvPass::kForward, ConvPass::kBackwardData}) {
      ExpectIm2cols(t, pass, Result(t, pass));
    }
  }
}

TEST_F(TileConv, IsNotOfferedForWhatItCannotRun) {
  const CpuGemm amx(Isa::kAmx), avx512(Isa::kAvx512);
  const auto offered = [](const CpuGemm& gemm, const ConvShape& s, Layout x, Layout y) {
    const auto names = CpuConv(&gemm).Algorithms(s, ConvPass::kForward, x, y, false);
    return std::find(names.begin(), names.end(), "tile_gemm") != names.end();
  };
  const ConvShape s = kShapes[0];
  EXPECT_TRUE(offered(amx, s, {20}, {50}));
  EXPECT_FALSE(offered(avx512, s, {20}, {50}));
  EXPECT_FALSE(offered(amx, s, {1}, {50}));
  EXPECT_FALSE(offered(amx, s, {20}, {1}));
  ConvShape grouped = s;
  grouped.groups = 2;
  EXPECT_FALSE(offered(amx, grouped, {20}, {50}));
  EXPECT_FALSE(offered(amx, {1, 512, 4, 4, 512, 3, 3}, {512}, {512}));
  EXPECT_THROW(CpuConv(&avx512).Make(s, ConvPass::kForward, "tile_gemm", {20}, {50}), ConfigError);
}

}  // namespace
}  // namespace lockstep::cpu
