#include "kernels/elementwise.h"

#include "tests/kernels/devices.h"

namespace lockstep::test {
namespace {

constexpr Activation kActivations[] = {Activation::kIdentity, Activation::kRelu,
                                       Activation::kLeakyRelu, Activation::kSigmoid,
                                       Activation::kTanh};
constexpr double kSlope = 0.2;

double Reference(Activation f, double x) {
  switch (f) {
    case Activation::kIdentity:
      return x;
    case Activation::kRelu:
      return std::max(x, 0.0);
    case Activation::kLeakyRelu:
      return x < 0 ? kSlope * x : x;
    case Activation::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case Activation::kTanh:
      return std::tanh(x);
  }
  return 0;
}

// Errors are relative: near 0 and far from it.
template <typename T>
void CheckForward(Backend& b, Activation f, double range) {
  const double tolerance = sizeof(T) == 4 ? 5e-7 : 1e-15;
  const auto x = Numbers<T>(50001, 7, -range, range);
  std::vector<T> y(x.size());
  b.elementwise().ActivationForward(DTypeOf<T>(), f, kSlope, 50001, x.data(), y.data());
  for (size_t i = 0; i < x.size(); ++i) {
    const double wanted = Reference(f, static_cast<double>(x[i]));
    const double smallest = sizeof(T) == 4 ? 1e-37 : 1e-300;
    ASSERT_NEAR(y[i], wanted, tolerance * std::abs(wanted) + smallest)
        << b.fingerprint() << " f " << static_cast<int>(f) << " x " << x[i];
  }
  auto in_place = x;
  b.elementwise().ActivationForward(DTypeOf<T>(), f, kSlope, 50001, in_place.data(),
                                    in_place.data());
  EXPECT_EQ(in_place, y);
}

TEST(Activation, IsExactToAFewUlpInFloatAndDouble) {
  for (const auto& b : Devices()) {
    for (const Activation f : kActivations) {
      for (const double range : {1e-4, 1.0, 20.0, 200.0}) {
        CheckForward<float>(*b, f, range);
        CheckForward<double>(*b, f, range);
      }
    }
  }
}

TEST(Activation, GradientIsTheCentralDifference) {
  const auto x = Numbers<double>(1001, 3, -3, 3);
  const auto dy = Numbers<double>(1001, 4);
  for (const auto& b : Devices()) {
    for (const Activation f : kActivations) {
      std::vector<double> y(x.size()), dx(x.size());
      b->elementwise().ActivationForward(DType::kFloat64, f, kSlope, 1001, x.data(), y.data());
      b->elementwise().ActivationBackward(DType::kFloat64, f, kSlope, 1001, y.data(), dy.data(),
                                          dx.data());
      for (size_t i = 0; i < x.size(); ++i) {
        const double h = 1e-5;
        if (std::abs(x[i]) < h) continue;
        const double slope = (Reference(f, x[i] + h) - Reference(f, x[i] - h)) / (2 * h);
        ASSERT_NEAR(dx[i], dy[i] * slope, 1e-9) << static_cast<int>(f) << " at " << x[i];
      }
    }
  }
}

TEST(Activation, ReluLetsNaNPass) {
  for (const auto& b : Devices()) {
    for (const int64_t size : {1, 16, 21}) {
      std::vector<float> x(static_cast<size_t>(size), NAN);
      b->elementwise().ActivationForward(DType::kFloat32, Activation::kRelu, 0, size, x.data(),
                                         x.data());
      for (const float v : x) EXPECT_TRUE(std::isnan(v));
    }
  }
}

template <typename T>
void CheckArithmetic(Backend& b, int64_t size) {
  const auto x = Numbers<T>(size, 1), z = Numbers<T>(size, 2);
  std::vector<T> sum(x.size()), product(x.size());
  b.elementwise().Add(DTypeOf<T>(), size, x.data(), z.data(), sum.data());
  b.elementwise().Scale(DTypeOf<T>(), 0.75, size, x.data(), product.data());
  for (size_t i = 0; i < x.size(); ++i) {
    ASSERT_EQ(sum[i], x[i] + z[i]);
    ASSERT_EQ(product[i], T(0.75) * x[i]);
  }
}

TEST(Elementwise, AddsAndScales) {
  for (const auto& b : Devices()) {
    for (const int64_t size : {0, 1, 7, 33, 40001}) {
      CheckArithmetic<float>(*b, size);
      CheckArithmetic<double>(*b, size);
    }
  }
}

// Large enough for three threads, odd enough that no part of the plain cut is whole vectors.
template <typename T>
void CheckThreads(const std::string& isa_of_backend, size_t backend) {
  const int64_t size = 100003;
  const auto x = Numbers<T>(size, 1, -20, 20), z = Numbers<T>(size, 2);
  std::vector<std::vector<T>> wanted;
  for (const int threads : {1, 2, 3}) {
    const std::shared_ptr<Backend> owner = Backends(threads)[backend];
    ElementwiseKernels& kernels = owner->elementwise();
    std::vector<std::vector<T>> found;
    const auto next = [&]() -> T* { return found.emplace_back(x.size()).data(); };
    for (const Activation f : kActivations) {
      kernels.ActivationForward(DTypeOf<T>(), f, kSlope, size, x.data(), next());
      kernels.ActivationBackward(DTypeOf<T>(), f, kSlope, size, x.data(), z.data(), next());
    }
    kernels.Add(DTypeOf<T>(), size, x.data(), z.data(), next());
    kernels.Scale(DTypeOf<T>(), 0.3, size, x.data(), next());
    if (wanted.empty()) wanted = found;
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(found[i], wanted[i]) << isa_of_backend << " map " << i << " threads " << threads;
    }
  }
}

TEST(Elementwise, BitsDoNotDependOnThreads) {
  for (size_t i = 0; i < Backends().size(); ++i) {
    CheckThreads<float>(Backends()[i]->fingerprint(), i);
    CheckThreads<double>(Backends()[i]->fingerprint(), i);
  }
}

template <typename T>
void CheckReorder(Backend& b, const PictureShape& s) {
  const auto x = Numbers<T>(Size(s), 5);
  for (const Layout from : Layouts(s.c)) {
    for (const Layout to : Layouts(s.c)) {
      std::vector<T> y(x.size());
      b.elementwise().Reorder(DTypeOf<T>(), s, from, to, x.data(), y.data());
      ForEach(s, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
        ASSERT_EQ(y[At(s, to, n, c, h, w)], x[At(s, from, n, c, h, w)])
            << from.block << " to " << to.block;
      });
    }
  }
}

TEST(Reorder, KeepsEveryValueInEveryPairOfLayouts) {
  for (const auto& b : Devices()) {
    for (const PictureShape& s : {PictureShape{2, 16, 5, 7}, PictureShape{3, 12, 1, 1},
                                  PictureShape{1, 48, 9, 11}, PictureShape{5, 3, 32, 32}}) {
      CheckReorder<float>(*b, s);
      CheckReorder<double>(*b, s);
    }
  }
}

TEST(CopyChannels, ConcatenatesPicturesOfDifferentLayouts) {
  const PictureShape xs{3, 12, 5, 4}, ys{3, 20, 5, 4};
  const auto x = Numbers<float>(Size(xs), 5);
  for (const auto& b : Devices()) {
    for (const Layout xl : Layouts(xs.c)) {
      for (const Layout yl : Layouts(ys.c)) {
        std::vector<float> y(static_cast<size_t>(Size(ys)), 9.0F);
        b->elementwise().CopyChannels(DType::kFloat32, xs, xl, 1, x.data(), ys, yl, 7, 11,
                                      y.data());
        ForEach(ys, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
          const float wanted = c < 7 || c >= 18 ? 9.0F : x[At(xs, xl, n, c - 6, h, w)];
          ASSERT_EQ(y[At(ys, yl, n, c, h, w)], wanted) << xl.block << " " << yl.block;
        });
      }
    }
  }
}

TEST(CopyIf, CopiesAllBytesOrNone) {
  for (const auto& b : Devices()) {
    for (const int64_t size : {0, 2, 1000}) {
      const auto from = Numbers<float>(size, 1), before = Numbers<float>(size, 2);
      for (const int64_t condition : {0, 1, -5}) {
        auto to = before;
        b->elementwise().CopyIf(&condition, to.size() * sizeof(float), from.data(), to.data());
        EXPECT_EQ(to, condition == 0 ? before : from);
      }
    }
  }
}

}  // namespace
}  // namespace lockstep::test
