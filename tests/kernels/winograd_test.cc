// The fast convolutions against the sum of products in double.
#include "kernels/cpu/winograd/winograd.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/winograd/plan.h"
#include "kernels/error.h"

namespace lockstep::cpu {
namespace {

// Relative root mean square; more points are less exact.
double ToleranceOf(const std::string& algorithm) {
  return algorithm.starts_with("winograd_4x5") ? 1e-5 : 3e-6;
}

using Floats = std::vector<float>;
using Doubles = std::vector<double>;

ConvShape Shape(int64_t n, int64_t c, int64_t h, int64_t w, int64_t k, int64_t taps = 3,
                int64_t pad_h = 1, int64_t pad_w = 1) {
  ConvShape shape;
  shape.n = n, shape.c = c, shape.h = h, shape.w = w, shape.k = k;
  shape.kh = shape.kw = taps;
  shape.pad_h = pad_h, shape.pad_w = pad_w;
  return shape;
}

Floats Random(int64_t size, uint32_t seed) {
  Floats values(static_cast<size_t>(size));
  for (float& value : values) {
    seed = seed * 1664525U + 1013904223U;
    value = static_cast<float>(seed >> 8) / static_cast<float>(1 << 24) - 0.5F;
  }
  return values;
}

// Position of plain NCHW element i of (n, c, h * w) in `layout`.
int64_t Position(int64_t i, int64_t c, int64_t pixels, Layout layout) {
  const int64_t pixel = i % pixels, channel = i / pixels % c, image = i / pixels / c;
  const int64_t block = layout.block;
  return ((image * (c / block) + channel / block) * pixels + pixel) * block + channel % block;
}

Floats ToLayout(const Floats& plain, int64_t c, int64_t pixels, Layout layout) {
  Floats out(plain.size());
  for (size_t i = 0; i < plain.size(); ++i) {
    out[static_cast<size_t>(Position(static_cast<int64_t>(i), c, pixels, layout))] = plain[i];
  }
  return out;
}

Floats FromLayout(const Floats& laid, int64_t c, int64_t pixels, Layout layout) {
  Floats out(laid.size());
  for (size_t i = 0; i < laid.size(); ++i) {
    out[i] = laid[static_cast<size_t>(Position(static_cast<int64_t>(i), c, pixels, layout))];
  }
  return out;
}

// Operands and true results of all three passes, plain.
struct Case {
  ConvShape shape;
  Floats x, dy, weights, bias;
  Doubles y, dx, dw;

  explicit Case(const ConvShape& s)
      : shape(s),
        x(Random(s.n * s.c * s.h * s.w, 1)),
        dy(Random(s.n * s.k * s.out_h() * s.out_w(), 2)),
        weights(Random(s.k * s.c * s.kh * s.kw, 3)),
        bias(Random(s.k, 4)),
        y(dy.size()),
        dx(x.size()),
        dw(weights.size()) {
    for (int64_t n = 0; n < s.n; ++n) {
      for (int64_t k = 0; k < s.k; ++k) {
        for (int64_t c = 0; c < s.c; ++c) Add(n, k, c);
      }
    }
  }

  // Adds what image n contributes between channels c and k to all three results.
  void Add(int64_t n, int64_t k, int64_t c) {
    const int64_t h = shape.h, w = shape.w, out_h = shape.out_h(), out_w = shape.out_w();
    const int64_t taps = shape.kh;
    const size_t x0 = static_cast<size_t>((n * shape.c + c) * h * w);
    const size_t y0 = static_cast<size_t>((n * shape.k + k) * out_h * out_w);
    for (int64_t tap = 0; tap < taps * taps; ++tap) {
      const int64_t dy_ = tap / taps - shape.pad_h, dx_ = tap % taps - shape.pad_w;
      const size_t wi = static_cast<size_t>((k * shape.c + c) * taps * taps + tap);
      for (int64_t i = std::max<int64_t>(0, -dy_); i < std::min(out_h, h - dy_); ++i) {
        for (int64_t j = std::max<int64_t>(0, -dx_); j < std::min(out_w, w - dx_); ++j) {
          const size_t yi = y0 + static_cast<size_t>(i * out_w + j);
          const size_t xi = x0 + static_cast<size_t>((i + dy_) * w + j + dx_);
          y[yi] += static_cast<double>(x[xi]) * weights[wi];
          dx[xi] += static_cast<double>(dy[yi]) * weights[wi];
          dw[wi] += static_cast<double>(dy[yi]) * x[xi];
        }
      }
    }
  }
};

double RelativeError(const Floats& found, const Doubles& wanted) {
  double error = 0, size = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    error += (found[i] - wanted[i]) * (found[i] - wanted[i]);
    size += wanted[i] * wanted[i];
  }
  return std::sqrt(error / size);
}

struct Options {
  ConvPass pass = ConvPass::kForward;
  Layout x, y;
  bool epilogue = false;
};

Floats Garbage(size_t bytes) {
  return Floats(bytes / 4 + 16, std::numeric_limits<float>::quiet_NaN());
}

float* Aligned(Floats& floats) {
  const auto address = reinterpret_cast<uintptr_t>(floats.data());
  return floats.data() + (64 - address % 64) % 64 / 4;
}

// The plain result of one pass, from buffers full of NaN.
Floats Run(const Case& test, const Options& options, ConvKernel& kernel) {
  const ConvShape& s = test.shape;
  const int64_t pixels = s.h * s.w, out_pixels = s.out_h() * s.out_w();
  Floats x = ToLayout(test.x, s.c, pixels, options.x);
  Floats y = ToLayout(test.dy, s.k, out_pixels, options.y);
  Floats dw = Garbage(test.weights.size() * 4);
  dw.resize(test.weights.size());
  Floats scratch = Garbage(kernel.scratch_bytes());
  Floats prepared = Garbage(kernel.prepared_bytes());
  ConvBuffers buffers;
  buffers.x = x.data();
  buffers.y = y.data();
  buffers.dw = dw.data();
  buffers.weights = test.weights.data();
  buffers.scratch = Aligned(scratch);
  if (kernel.prepared_bytes() > 0) {
    kernel.PrepareWeights(test.weights.data(), Aligned(prepared));
    buffers.weights = Aligned(prepared);
  }
  if (options.epilogue) {
    buffers.bias = test.bias.data();
    buffers.activation = Activation::kRelu;
  }
  const float nan = std::numeric_limits<float>::quiet_NaN();
  if (options.pass == ConvPass::kForward) std::fill(y.begin(), y.end(), nan);
  if (options.pass == ConvPass::kBackwardData) std::fill(x.begin(), x.end(), nan);
  kernel.Run(buffers);
  switch (options.pass) {
    case ConvPass::kForward:
      return FromLayout(y, s.k, out_pixels, options.y);
    case ConvPass::kBackwardData:
      return FromLayout(x, s.c, pixels, options.x);
    default:
      return dw;
  }
}

Doubles Wanted(const Case& test, const Options& options) {
  if (options.pass == ConvPass::kBackwardData) return test.dx;
  if (options.pass == ConvPass::kBackwardWeights) return test.dw;
  Doubles y = test.y;
  if (!options.epilogue) return y;
  const auto pixels = static_cast<size_t>(test.shape.out_h() * test.shape.out_w());
  for (size_t i = 0; i < y.size(); ++i) {
    y[i] = std::max(0.0, y[i] + test.bias[i / pixels % test.bias.size()]);
  }
  return y;
}

bool SameBits(const Floats& a, const Floats& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * 4) == 0;
}

std::vector<int64_t> Blocks(int64_t c) {
  std::set<int64_t> blocks = {8, c};
  if (c % 16 == 0) blocks.insert(16);
  return {blocks.begin(), blocks.end()};
}

void Check(const Case& test, const Options& options, const std::string& algorithm) {
  const Doubles wanted = Wanted(test, options);
  for (const winograd::IsaKernels* isa : winograd::UsableIsas(BestIsa())) {
    if (!winograd::Runs(test.shape, options.x, options.y, *isa)) continue;
    for (int threads = 1; threads <= 3; ++threads) {
      SCOPED_TRACE(std::string(isa->name) + " threads " + std::to_string(threads));
      SetThreads(threads);
      const auto kernel =
          winograd::Make(test.shape, options.pass, algorithm, options.x, options.y, *isa);
      const Floats found = Run(test, options, *kernel);
      EXPECT_LT(RelativeError(found, wanted), ToleranceOf(algorithm));
      SetThreads(threads % 3 + 1);
      EXPECT_TRUE(SameBits(found, Run(test, options, *kernel)));
    }
  }
  SetThreads(1);
}

std::string Name(const testing::TestParamInfo<ConvShape>& info) {
  const ConvShape& s = info.param;
  return "N" + std::to_string(s.n) + "C" + std::to_string(s.c) + "H" + std::to_string(s.h) + "W" +
         std::to_string(s.w) + "K" + std::to_string(s.k) + "taps" + std::to_string(s.kh) + "pad" +
         std::to_string(s.pad_h) + std::to_string(s.pad_w);
}

class WinogradTest : public testing::TestWithParam<ConvShape> {};

TEST_P(WinogradTest, EveryPassEqualsTheDirectSum) {
  const Case test(GetParam());
  std::vector<std::string> algorithms = {"winograd_4x3", "winograd_2x3"};
  if (test.shape.h == 2 && test.shape.w == 2) algorithms.push_back("toeplitz_2x2");
  bool epilogue = false;
  for (const auto& algorithm : algorithms) {
    for (const char* suffix : {"", "_fused"}) {
      for (const ConvPass pass :
           {ConvPass::kForward, ConvPass::kBackwardData, ConvPass::kBackwardWeights}) {
        for (const int64_t x : Blocks(test.shape.c)) {
          const auto y_blocks = Blocks(test.shape.k);
          const int64_t y = y_blocks[static_cast<size_t>(x) / 8 % y_blocks.size()];
          SCOPED_TRACE(algorithm + suffix + " pass " + std::to_string(static_cast<int>(pass)) +
                       " blocks " + std::to_string(x) + " " + std::to_string(y));
          Check(test, {pass, Layout{x}, Layout{y}, epilogue = !epilogue}, algorithm + suffix);
        }
      }
    }
  }
}

// Any number of channels, last in memory, any padding, and 5x5 taps.
class WinogradChannelsLastTest : public WinogradTest {};

TEST_P(WinogradChannelsLastTest, EveryPassEqualsTheDirectSum) {
  const Case test(GetParam());
  const ConvShape& s = test.shape;
  std::vector<std::string> algorithms = {"winograd_4x3", "winograd_2x3"};
  if (s.kh == 5) algorithms = {"winograd_2x5", "winograd_4x5"};
  if (s.kh == 3 && s.pad_h == 1 && s.h == 2 && s.w == 2) algorithms.push_back("toeplitz_2x2");
  for (const auto& algorithm : algorithms) {
    for (const char* suffix : {"", "_fused"}) {
      for (const ConvPass pass :
           {ConvPass::kForward, ConvPass::kBackwardData, ConvPass::kBackwardWeights}) {
        SCOPED_TRACE(algorithm + suffix + " pass " + std::to_string(static_cast<int>(pass)));
        ASSERT_TRUE(winograd::Runs(s, Layout{s.c}, Layout{s.k}, baseline::kWinograd));
        Check(test, {pass, Layout{s.c}, Layout{s.k}, false}, algorithm + suffix);
        Check(test, {pass, Layout{s.c}, Layout{s.k}, true}, algorithm + suffix);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, WinogradChannelsLastTest,
    testing::Values(Shape(3, 20, 12, 12, 50, 5, 0, 0), Shape(2, 16, 9, 7, 32, 5, 2, 2),
                    Shape(1, 9, 5, 8, 8, 5, 4, 3), Shape(2, 30, 6, 6, 13, 5, 0, 1),
                    Shape(2, 290, 6, 7, 11, 5, 2, 1), Shape(4, 8, 2, 3, 24, 5, 3, 2),
                    Shape(3, 13, 9, 7, 21, 3, 0, 0), Shape(1, 8, 2, 2, 47, 3, 2, 2),
                    Shape(2, 33, 5, 6, 12, 3, 1, 1), Shape(5, 19, 2, 2, 21, 3, 1, 1),
                    Shape(2, 11, 4, 9, 70, 3, 0, 2)),
    Name);

INSTANTIATE_TEST_SUITE_P(Shapes, WinogradTest,
                         testing::Values(Shape(1, 8, 4, 4, 8), Shape(3, 16, 5, 7, 24),
                                         Shape(2, 24, 7, 7, 8), Shape(1, 32, 28, 28, 16),
                                         Shape(3, 40, 2, 2, 56), Shape(2, 16, 2, 3, 32),
                                         Shape(5, 136, 4, 4, 104), Shape(2, 288, 3, 6, 280),
                                         Shape(41, 16, 9, 11, 16), Shape(133, 32, 2, 2, 16),
                                         Shape(1, 64, 32, 32, 48)),
                         Name);

TEST(WinogradAlgorithmsTest, AreOfferedOnlyWhereTheyRun) {
  const Layout block8{8};
  const auto offered = [&](const ConvShape& shape, Layout x, Layout y) {
    return !WinogradAlgorithms(shape, ConvPass::kForward, x, y).empty();
  };
  const ConvShape good = Shape(2, 16, 8, 8, 24);
  EXPECT_TRUE(offered(good, block8, block8));
  EXPECT_TRUE(offered(good, Layout{16}, Layout{24}));
  EXPECT_FALSE(offered(good, Layout{1}, block8));
  EXPECT_FALSE(offered(good, block8, Layout{12}));
  EXPECT_FALSE(offered(Shape(2, 3, 8, 8, 24), Layout{3}, block8));
  EXPECT_FALSE(offered(Shape(2, 16, 8, 8, 12), block8, Layout{12}));
  EXPECT_TRUE(offered(Shape(2, 16, 8, 8, 12), Layout{16}, Layout{12}));
  EXPECT_TRUE(offered(Shape(2, 16, 8, 8, 12, 5, 0, 4), Layout{16}, Layout{12}));
  EXPECT_FALSE(offered(Shape(2, 16, 8, 8, 12, 5, 0, 5), Layout{16}, Layout{12}));
  EXPECT_FALSE(offered(Shape(2, 16, 8, 8, 12, 7, 0, 0), Layout{16}, Layout{12}));
  EXPECT_FALSE(offered(Shape(2, 7, 8, 8, 12), Layout{7}, Layout{12}));
  for (const int64_t taps : {3, 5}) {
    const ConvShape odd = Shape(2, 16, 8, 8, 12, taps);
    EXPECT_FALSE(
        WinogradAlgorithms(odd, ConvPass::kBackwardWeights, Layout{16}, Layout{12}).empty());
  }
  EXPECT_FALSE(offered(Shape(0, 16, 8, 8, 16), block8, block8));
  for (const auto change : {&ConvShape::stride_h, &ConvShape::stride_w, &ConvShape::pad_h,
                            &ConvShape::pad_w, &ConvShape::dilation_h, &ConvShape::groups}) {
    ConvShape shape = good;
    shape.*change = 2;
    EXPECT_FALSE(offered(shape, block8, block8));
  }
  ConvShape shape = good;
  shape.dtype = DType::kFloat64;
  EXPECT_FALSE(offered(shape, block8, block8));
}

TEST(WinogradAlgorithmsTest, EveryOfferedNameCanBeMade) {
  for (const int64_t side : {2, 4, 7, 32}) {
    const ConvShape shape = Shape(4, 64, side, side, 64);
    for (const ConvPass pass :
         {ConvPass::kForward, ConvPass::kBackwardData, ConvPass::kBackwardWeights}) {
      for (const auto& name : WinogradAlgorithms(shape, pass, Layout{8}, Layout{64})) {
        EXPECT_NE(MakeWinograd(shape, pass, name, Layout{8}, Layout{64}), nullptr);
      }
    }
  }
}

TEST(WinogradAlgorithmsTest, TheFewestProductsAreOffered) {
  const auto first = [](int64_t h, int64_t w) {
    return WinogradAlgorithms(Shape(8, 8, h, w, 8), ConvPass::kForward, Layout{8}, Layout{8})[0];
  };
  EXPECT_EQ(first(2, 2), "toeplitz_2x2");
  EXPECT_EQ(first(2, 12), "winograd_2x3");
  EXPECT_EQ(first(4, 4), "winograd_4x3");
  EXPECT_EQ(first(7, 7), "winograd_4x3");
  const auto of_5x5 = [](int64_t out_h, int64_t out_w, ConvPass pass) {
    const ConvShape shape = Shape(8, 20, out_h + 4, out_w + 4, 50, 5, 0, 0);
    return WinogradAlgorithms(shape, pass, Layout{20}, Layout{50});
  };
  EXPECT_EQ(of_5x5(8, 8, ConvPass::kForward), std::vector<std::string>{"winograd_4x5"});
  EXPECT_EQ(of_5x5(2, 5, ConvPass::kForward), std::vector<std::string>{"winograd_2x5"});
  EXPECT_EQ(of_5x5(2, 6, ConvPass::kForward), std::vector<std::string>{"winograd_2x5"});
  EXPECT_EQ(of_5x5(2, 8, ConvPass::kForward), std::vector<std::string>{"winograd_4x5"});
  EXPECT_EQ(of_5x5(2, 5, ConvPass::kBackwardData), std::vector<std::string>{"winograd_4x5"});
}

TEST(WinogradAlgorithmsTest, LargeWeightsAreNotKeptTransformed) {
  for (const ConvPass pass : {ConvPass::kForward, ConvPass::kBackwardData}) {
    const ConvShape shape = Shape(64, 512, 4, 4, 512);
    const auto names = WinogradAlgorithms(shape, pass, Layout{8}, Layout{8});
    EXPECT_EQ(names, std::vector<std::string>{"winograd_4x3_fused"});
    EXPECT_EQ(MakeWinograd(shape, pass, names[0], Layout{8}, Layout{8})->prepared_bytes(), 0U);
  }
}

TEST(WinogradAlgorithmsTest, AnUnknownNameIsAnError) {
  const ConvShape shape = Shape(1, 8, 4, 4, 8);
  EXPECT_THROW(MakeWinograd(shape, ConvPass::kForward, "toeplitz_2x2", Layout{8}, Layout{8}),
               ConfigError);
  EXPECT_THROW(MakeWinograd(shape, ConvPass::kForward, "direct", Layout{8}, Layout{8}),
               ConfigError);
}

TEST(WinogradTest, ScratchOfTheVggLayersIsBounded) {
  SetThreads(2);
  const int64_t layers[][3] = {{64, 64, 32},  {64, 128, 16}, {128, 128, 16}, {128, 256, 8},
                               {256, 256, 8}, {256, 512, 4}, {512, 512, 4},  {512, 512, 2}};
  for (const auto& [c, k, side] : layers) {
    const ConvShape shape = Shape(64, c, side, side, k);
    for (const ConvPass pass :
         {ConvPass::kForward, ConvPass::kBackwardData, ConvPass::kBackwardWeights}) {
      for (const auto& name : WinogradAlgorithms(shape, pass, Layout{8}, Layout{8})) {
        const auto kernel = MakeWinograd(shape, pass, name, Layout{8}, Layout{8});
        EXPECT_LE(kernel->scratch_bytes(), size_t{64} << 20) << name;
        EXPECT_LE(kernel->prepared_bytes(), size_t{16} << 20) << name;
      }
    }
  }
  SetThreads(1);
}

}  // namespace
}  // namespace lockstep::cpu
