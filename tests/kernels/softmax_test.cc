#include "kernels/softmax.h"

#include "kernels/error.h"
#include "tests/kernels/devices.h"

namespace lockstep::test {
namespace {

std::vector<double> ReferenceSoftmax(int64_t rows, int64_t classes, const std::vector<double>& x) {
  std::vector<double> y(x.size());
  for (int64_t r = 0; r < rows; ++r) {
    const double* row = x.data() + r * classes;
    const double max = *std::max_element(row, row + classes);
    double sum = 0;
    for (int64_t i = 0; i < classes; ++i) sum += std::exp(row[i] - max);
    for (int64_t i = 0; i < classes; ++i) {
      y[static_cast<size_t>(r * classes + i)] = std::exp(row[i] - max) / sum;
    }
  }
  return y;
}

template <typename T>
std::vector<double> Doubles(const std::vector<T>& x) {
  return {x.begin(), x.end()};
}

template <typename T>
void CheckForward(Backend& b, int64_t rows, int64_t classes) {
  const auto x = Numbers<T>(rows * classes, 1, -30, 30);
  std::vector<T> y(x.size());
  b.softmax().Forward(DTypeOf<T>(), rows, classes, x.data(), y.data());
  const double tolerance = sizeof(T) == 4 ? 1e-6 : 1e-14;
  ExpectClose(y, ReferenceSoftmax(rows, classes, Doubles(x)), tolerance, "softmax");
}

TEST(Softmax, EqualsTheDefinitionForEveryNumberOfClasses) {
  for (const auto& b : Devices()) {
    for (const int64_t classes : {1, 2, 10, 15, 16, 17, 100, 1000}) {
      CheckForward<float>(*b, 9, classes);
      CheckForward<double>(*b, 9, classes);
    }
    CheckForward<float>(*b, 4000, 10);
  }
}

TEST(Softmax, GradientIsTheCentralDifference) {
  const int64_t rows = 3, classes = 19;
  const auto x = Numbers<double>(rows * classes, 1, -2, 2), dy = Numbers<double>(rows * classes, 2);
  std::vector<double> y(x.size()), dx(x.size());
  for (const auto& b : Devices()) {
    b->softmax().Forward(DType::kFloat64, rows, classes, x.data(), y.data());
    b->softmax().Backward(DType::kFloat64, rows, classes, y.data(), dy.data(), dx.data());
    for (size_t i = 0; i < x.size(); ++i) {
      double slope = 0;
      for (const double h : {1e-5, -1e-5}) {
        auto moved = x;
        moved[i] += h;
        const auto z = ReferenceSoftmax(rows, classes, moved);
        for (size_t j = 0; j < z.size(); ++j) slope += z[j] * dy[j] / (2 * h);
      }
      ASSERT_NEAR(dx[i], slope, 1e-9);
    }
  }
}

template <typename T>
void CheckCrossEntropy(Backend& b, int64_t rows, int64_t classes, double range) {
  const auto x = Numbers<T>(rows * classes, 1, -range, range);
  const auto p = ReferenceSoftmax(rows, classes, Doubles(x));
  std::vector<int32_t> labels;
  LossSums wanted;
  std::vector<double> wanted_dx(x.size());
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t label = r % 5 == 4 ? -1
                                     : static_cast<int64_t>(Mix64(static_cast<uint64_t>(r)) %
                                                            static_cast<uint64_t>(classes));
    labels.push_back(static_cast<int32_t>(label));
    ++wanted.metric_count;
    if (label < 0) continue;
    ++wanted.count;
    const T* row = x.data() + r * classes;
    const double max = *std::max_element(row, row + classes);
    double sum = 0;
    for (int64_t i = 0; i < classes; ++i) {
      sum += std::exp(static_cast<double>(row[i]) - max);
      const size_t at = static_cast<size_t>(r * classes + i);
      wanted_dx[at] = p[at] - (i == label ? 1 : 0);
    }
    wanted.loss += std::log(sum) + max - static_cast<double>(row[label]);
    wanted.metric += std::max_element(row, row + classes) - row == label ? 1 : 0;
  }
  for (const bool gradient : {true, false}) {
    LossSums sums{1, 2, 3, 4};
    T loss = 7;
    std::vector<T> dx(x.size(), T(9));
    b.softmax().CrossEntropy(DTypeOf<T>(), rows, classes, x.data(), labels.data(), &sums, &loss,
                             gradient ? dx.data() : nullptr);
    EXPECT_NEAR(sums.loss - 1, wanted.loss, 1e-6 * (1 + wanted.loss));
    EXPECT_NEAR(loss, static_cast<T>(sums.loss - 1), 1e-6 * (1 + sums.loss));
    EXPECT_EQ(sums.count - 2, wanted.count);
    EXPECT_EQ(sums.metric - 3, wanted.metric);
    EXPECT_EQ(sums.metric_count - 4, wanted.metric_count);
    if (gradient) ExpectClose(dx, wanted_dx, sizeof(T) == 4 ? 1e-6 : 1e-14, "dx");
  }
}

TEST(CrossEntropy, SumsLossAndCorrectRowsAndIgnoresLabelMinusOne) {
  for (const auto& b : Devices()) {
    for (const int64_t classes : {1, 2, 10, 37, 1000}) {
      for (const double range : {1.0, 80.0}) {
        CheckCrossEntropy<float>(*b, 33, classes, range);
        CheckCrossEntropy<double>(*b, 33, classes, range);
      }
    }
    CheckCrossEntropy<float>(*b, 5000, 10, 4);
  }
}

TEST(CrossEntropy, FirstMaximumWins) {
  const std::vector<float> x = {1, 3, 3, 2};
  for (const int32_t label : {0, 1, 2, 3}) {
    LossSums sums;
    BestBackend()->softmax().CrossEntropy(DType::kFloat32, 1, 4, x.data(), &label, &sums, nullptr,
                                          nullptr);
    EXPECT_EQ(sums.metric, label == 1 ? 1 : 0);
  }
}

TEST(CrossEntropy, NaNLogitsReachTheLoss) {
  for (const auto& b : Devices()) {
    for (const size_t bad : {0, 3, 17, 19}) {
      auto x = Numbers<float>(20, 1);
      x[bad] = NAN;
      const int32_t label = 5;
      LossSums sums;
      b->softmax().CrossEntropy(DType::kFloat32, 1, 20, x.data(), &label, &sums, nullptr, nullptr);
      EXPECT_TRUE(std::isnan(sums.loss)) << bad;
    }
  }
}

TEST(CrossEntropy, IgnoredRowsHaveNoLossAndNoGradientWhateverTheyHold) {
  for (const auto& b : Devices()) {
    auto x = Numbers<float>(3 * 20, 1);
    x[25] = NAN;
    const std::vector<int32_t> labels = {4, -1, 6};
    LossSums sums;
    b->softmax().CrossEntropy(DType::kFloat32, 3, 20, x.data(), labels.data(), &sums, nullptr,
                              x.data());
    EXPECT_TRUE(std::isfinite(sums.loss));
    for (size_t i = 20; i < 40; ++i) EXPECT_EQ(x[i], 0);
    EXPECT_LT(x[4], 0);  // in place: the gradient took the place of the logits
    EXPECT_GT(x[50], 0);
  }
}

TEST(CrossEntropy, NamesRowAndRangeOfTheFirstBadLabel) {
  const auto x = Numbers<float>(40, 1);
  for (const auto& b : Devices()) {
    for (const int32_t bad : {-2, 10, 1 << 30}) {
      const std::vector<int32_t> labels = {0, bad, 1, 77};
      LossSums sums;
      try {
        b->softmax().CrossEntropy(DType::kFloat32, 4, 10, x.data(), labels.data(), &sums, nullptr,
                                  nullptr);
        b->Synchronize();
        FAIL() << "label " << bad << " was taken";
      } catch (const FormatError& e) {
        EXPECT_NE(std::string(e.what()).find("row 1 of"), std::string::npos) << e.what();
        EXPECT_NE(std::string(e.what()).find(std::to_string(bad)), std::string::npos) << e.what();
        EXPECT_NE(std::string(e.what()).find("0 to 9"), std::string::npos) << e.what();
        EXPECT_EQ(sums.metric_count, 0);
      }
      EXPECT_NO_THROW(b->Synchronize()) << "told twice";
    }
  }
}

TEST(SquaredError, SumsLossMetricAndGradient) {
  for (const auto& b : Devices()) {
    for (const int64_t size : {1, 50, 20001}) {
      const auto x = Numbers<float>(size, 1), t = Numbers<float>(size, 2);
      std::vector<float> dx(x.size());
      double wanted = 0;
      for (size_t i = 0; i < x.size(); ++i) wanted += std::pow(double{x[i]} - double{t[i]}, 2);
      LossSums sums;
      float loss = 7;
      b->softmax().SquaredError(DType::kFloat32, size, x.data(), t.data(), &sums, &loss, dx.data());
      EXPECT_EQ(loss, static_cast<float>(sums.loss));
      EXPECT_NEAR(sums.loss, wanted, 1e-6 * (1 + wanted));
      EXPECT_EQ(sums.loss, sums.metric);
      EXPECT_EQ(sums.count, size);
      EXPECT_EQ(sums.metric_count, size);
      for (size_t i = 0; i < x.size(); ++i) ASSERT_EQ(dx[i], 2 * (x[i] - t[i]));
    }
  }
}

TEST(Softmax, LossBitsDoNotDependOnTheNumberOfThreads) {
  const auto x = Numbers<float>(3000 * 100, 1, -9, 9);
  std::vector<int32_t> labels(3000, 7);
  LossSums first;
  for (const int threads : {1, 2, 3}) {
    LossSums sums;
    const auto b = BestBackend(threads);
    b->softmax().CrossEntropy(DType::kFloat32, 3000, 100, x.data(), labels.data(), &sums, nullptr,
                              nullptr);
    b->softmax().SquaredError(DType::kFloat32, 150000, x.data(), x.data() + 150000, &sums, nullptr,
                              nullptr);
    if (threads == 1) first = sums;
    EXPECT_EQ(first.loss, sums.loss) << threads;
  }
}

}  // namespace
}  // namespace lockstep::test
