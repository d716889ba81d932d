// Convolutions whose output gradient is mostly zeros have the bits of those that leave out nothing.
#include "kernels/cpu/conv/sparse_gradient.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "kernels/cpu/conv/implicit_conv.h"
#include "kernels/cpu/conv/window_conv.h"
#include "kernels/cpu/parallel.h"

namespace lockstep::cpu {
namespace {

struct FreeDeleter {
  void operator()(void* p) const { std::free(p); }
};
using Memory = std::unique_ptr<void, FreeDeleter>;

Memory Allocate(size_t bytes) { return Memory(std::aligned_alloc(64, (bytes + 64) / 64 * 64)); }

std::vector<float> RandomValues(int64_t size, uint32_t seed, double zeros = 0) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::uniform_real_distribution<double> dice(0, 1);
  std::vector<float> values(static_cast<size_t>(size));
  for (float& v : values) {
    v = uniform(engine);
    if (dice(engine) < zeros) v = v < 0 ? -0.0F : 0.0F;
  }
  return values;
}

ConvShape Shaped(int64_t n, int64_t c, int64_t h, int64_t w, int64_t k, int64_t kh, int64_t kw) {
  ConvShape s;
  s.n = n;
  s.c = c;
  s.h = h;
  s.w = w;
  s.k = k;
  s.kh = kh;
  s.kw = kw;
  return s;
}

std::vector<ConvShape> Shapes() {
  std::vector<ConvShape> shapes = {Shaped(9, 20, 12, 12, 50, 5, 5), Shaped(3, 13, 9, 11, 7, 3, 3),
                                   Shaped(2, 65, 7, 6, 9, 2, 3),    Shaped(5, 17, 21, 20, 3, 3, 5),
                                   Shaped(1, 40, 5, 5, 1, 1, 1),    Shaped(4, 33, 8, 9, 6, 3, 3)};
  shapes[1].pad_h = shapes[1].pad_w = 1;
  shapes[3].pad_h = 2;
  shapes[3].stride_h = 2;
  shapes[5].dilation_h = 2;
  shapes[5].pad_w = 1;
  return shapes;
}

// (n, c, pixels) to (n, pixels, c).
std::vector<float> ToChannelsLast(const std::vector<float>& x, int64_t n, int64_t c) {
  const int64_t pixels = static_cast<int64_t>(x.size()) / (n * c);
  std::vector<float> moved;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t pixel = 0; pixel < pixels; ++pixel) {
      for (int64_t j = 0; j < c; ++j) {
        moved.push_back(x[static_cast<size_t>((i * c + j) * pixels + pixel)]);
      }
    }
  }
  return moved;
}

// How a pass is made: by implicit products, which may leave out zeros, or by sums of windows.
enum class Way { kDense, kSkipping, kWindows };

// A convolution with all its operands.
struct Problem {
  ConvShape s;
  std::vector<float> x, w, dy;

  explicit Problem(const ConvShape& shape, double zeros = 0.75)
      : s(shape),
        x(RandomValues(s.n * s.c * s.h * s.w, 1)),
        w(RandomValues(s.k * s.c * s.kh * s.kw, 2)),
        dy(RandomValues(s.n * s.k * s.out_h() * s.out_w(), 3, zeros)) {}

  // The gradient of the pass.
  std::vector<float> Run(ConvPass pass, Isa isa, Way way) const {
    const bool last = way == Way::kWindows;
    const auto kernel =
        last ? MakeWindowConv(s, pass, isa) : MakeImplicitConv(s, pass, isa, way == Way::kSkipping);
    const Memory scratch = Allocate(kernel->scratch_bytes());
    std::memset(scratch.get(), 0xff, kernel->scratch_bytes());  // NaN
    const Memory prepared = Allocate(kernel->prepared_bytes());
    std::vector<float> x_copy = last ? ToChannelsLast(x, s.n, s.c) : x;
    std::vector<float> dy_copy = last ? ToChannelsLast(dy, s.n, s.k) : dy, dw(w.size(), NAN);
    ConvBuffers b;
    b.x = x_copy.data();
    b.y = dy_copy.data();
    b.dw = dw.data();
    b.scratch = scratch.get();
    if (pass == ConvPass::kBackwardData) {
      kernel->PrepareWeights(w.data(), prepared.get());
      b.weights = prepared.get();
      std::fill(x_copy.begin(), x_copy.end(), NAN);
    }
    kernel->Run(b);
    return pass == ConvPass::kBackwardData ? x_copy : dw;
  }

  void ExpectSameBits(Isa isa) const {
    ExpectSameBits(isa, Way::kSkipping);
    if (SparseGradient(Geometry(s), isa, Channels::kLast).fits()) {
      ExpectSameBits(isa, Way::kWindows);
    }
  }

  void ExpectSameBits(Isa isa, Way way) const {
    for (const ConvPass pass : {ConvPass::kBackwardData, ConvPass::kBackwardWeights}) {
      const std::vector<float> found = Run(pass, isa, way);
      std::vector<float> wanted = Run(pass, isa, Way::kDense);
      if (way == Way::kWindows && pass == ConvPass::kBackwardData) {
        wanted = ToChannelsLast(wanted, s.n, s.c);
      }
      ASSERT_EQ(found.size(), wanted.size());
      for (size_t i = 0; i < found.size(); ++i) {
        const bool both_nan = std::isnan(found[i]) && std::isnan(wanted[i]);
        ASSERT_TRUE(both_nan || std::memcmp(&found[i], &wanted[i], sizeof(float)) == 0)
            << i << ": " << found[i] << " against " << wanted[i] << ", c " << s.c << " k " << s.k
            << (pass == ConvPass::kBackwardData ? " data" : " weights");
      }
    }
  }
};

class SparseGradientTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override { SetThreads(GetParam()); }
  void TearDown() override { SetThreads(1); }
};

TEST_P(SparseGradientTest, LeavingOutZerosKeepsTheBits) {
  for (const ConvShape& shape : Shapes()) {
    for (const Isa isa : {Isa::kBaseline, BestIsa()}) Problem(shape).ExpectSameBits(isa);
  }
}

TEST_P(SparseGradientTest, NothingButZerosGiveZeros) {
  Problem(Shapes()[0], 1).ExpectSameBits(BestIsa());
}

TEST_P(SparseGradientTest, WindowsNeedNoZeros) {
  for (const ConvShape& shape : Shapes()) Problem(shape, 0).ExpectSameBits(BestIsa());
}

INSTANTIATE_TEST_SUITE_P(Threads, SparseGradientTest, ::testing::Values(1, 2, 3),
                         [](const auto& info) { return std::to_string(info.param); });

TEST(SparseGradient, InfinitiesAndNanAreNotHiddenBehindZeros) {
  for (const float odd : {std::numeric_limits<float>::infinity(), NAN}) {
    Problem p(Shapes()[1]);
    p.x[17] = p.w[5] = odd;
    p.ExpectSameBits(BestIsa());
    Problem gradient(Shapes()[1]);
    gradient.dy[20] = odd;
    gradient.ExpectSameBits(BestIsa());
  }
}

// The test above would pass, too, if nothing were ever left out.
TEST(SparseGradient, PaysWhereMostIsZero) {
  for (const ConvShape& shape : Shapes()) {
    const Geometry geometry(shape);
    const SparseGradient sparse(geometry, BestIsa(), Channels::kFirst);
    const Problem most(shape), few(shape, 0.3);
    const auto size = static_cast<int64_t>(most.x.size());
    EXPECT_EQ(sparse.Pays(most.dy.data(), most.x.data(), size), sparse.fits());
    EXPECT_FALSE(sparse.Pays(few.dy.data(), few.x.data(), size));
    EXPECT_FALSE(SparseGradient(geometry, BestIsa(), Channels::kFirst, false).fits());
  }
  EXPECT_TRUE(SparseGradient(Geometry(Shapes()[0]), BestIsa(), Channels::kFirst).fits());
}

}  // namespace
}  // namespace lockstep::cpu
