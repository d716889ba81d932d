#include "kernels/optimizer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "tests/kernels/devices.h"

namespace lockstep::test {
namespace {

// Chainer 7's rules as written there, in double.
struct Element {
  double p, s0 = 0, s1 = 0;
};

void Step(const UpdateArgs& a, const UpdateNumbers& n, double gradient, Element* e) {
  const double g = n.grad_scale * gradient + a.weight_decay * e->p;
  switch (a.rule) {
    case UpdateRule::kSgd:
      e->p -= n.lr * g;
      break;
    case UpdateRule::kMomentum:
      e->s0 = a.momentum * e->s0 - n.lr * g;
      e->p += e->s0;
      break;
    case UpdateRule::kNesterovChainer:
      e->s0 *= a.momentum;
      e->s0 -= n.lr * g;
      e->p += a.momentum * a.momentum * e->s0 - (1 + a.momentum) * n.lr * g;
      break;
    case UpdateRule::kNesterov:
      e->s0 = a.momentum * e->s0 - n.lr * g;
      e->p += a.momentum * e->s0 - n.lr * g;
      break;
    case UpdateRule::kAdam:
      e->s0 += (1 - a.beta1) * (g - e->s0);
      e->s1 += (1 - a.beta2) * (g * g - e->s1);
      e->p = (1 - a.eta * a.decoupled_decay) * e->p -
             a.eta * n.lr * e->s0 / (std::sqrt(e->s1) + a.eps);
      break;
    case UpdateRule::kRmsProp:
      e->s0 = a.rho * e->s0 + (1 - a.rho) * g * g;
      e->p -= n.lr * g / (std::sqrt(e->s0) + a.eps);
      break;
    case UpdateRule::kAdaGrad:
      e->s0 += g * g;
      e->p -= n.lr * g / (std::sqrt(e->s0) + a.eps);
      break;
    case UpdateRule::kAdaDelta: {
      e->s0 = a.rho * e->s0 + (1 - a.rho) * g * g;
      const double dx = std::sqrt((e->s1 + a.eps) / (e->s0 + a.eps)) * g;
      e->s1 = a.rho * e->s1 + (1 - a.rho) * dx * dx;
      e->p -= dx;
      break;
    }
  }
}

template <typename T>
void CheckRule(Backend& b, const UpdateArgs& args, const UpdateNumbers& numbers, int64_t size) {
  auto p = Numbers<T>(size, 1);
  std::vector<T> s0(p.size()), s1(p.size());
  std::vector<Element> wanted;
  for (const T v : p) wanted.push_back({static_cast<double>(v)});
  for (int t = 1; t <= 5; ++t) {
    const auto g = Numbers<T>(size, static_cast<uint64_t>(10 + t), -3, 3);
    UpdateNumbers step = numbers;
    if (args.rule == UpdateRule::kAdam) {
      step.lr *= std::sqrt(1 - std::pow(args.beta2, t)) / (1 - std::pow(args.beta1, t));
    }
    const bool two = args.rule == UpdateRule::kAdam || args.rule == UpdateRule::kAdaDelta;
    const bool one = args.rule != UpdateRule::kSgd;
    b.optimizer().Update(DTypeOf<T>(), args, &step, size, p.data(), g.data(),
                         one ? s0.data() : nullptr, two ? s1.data() : nullptr);
    for (size_t i = 0; i < g.size(); ++i) Step(args, step, static_cast<double>(g[i]), &wanted[i]);
  }
  const double tolerance = sizeof(T) == 4 ? 2e-6 : 1e-13;
  for (size_t i = 0; i < p.size(); ++i) {
    ASSERT_NEAR(p[i], wanted[i].p, tolerance) << "rule " << static_cast<int>(args.rule);
    ASSERT_NEAR(s0[i], wanted[i].s0, tolerance * std::max(1.0, std::abs(wanted[i].s0)));
    ASSERT_NEAR(s1[i], wanted[i].s1, tolerance * std::max(1.0, std::abs(wanted[i].s1)));
  }
}

class OptimizerTest : public testing::TestWithParam<UpdateRule> {};

TEST_P(OptimizerTest, FollowsChainerForFiveSteps) {
  UpdateArgs args;
  UpdateNumbers numbers;
  args.rule = GetParam();
  if (args.rule == UpdateRule::kAdam) numbers.lr = 0.001;
  if (args.rule == UpdateRule::kAdaDelta) args.rho = 0.95, args.eps = 1e-6;
  for (const auto& b : Devices()) {
    for (const int64_t size : {1, 10, 33, 50000}) {
      CheckRule<float>(*b, args, numbers, size);
      CheckRule<double>(*b, args, numbers, size);
    }
  }
}

TEST_P(OptimizerTest, ScalesTheGradientThenDecays) {
  UpdateArgs args;
  args.rule = GetParam();
  args.weight_decay = 5e-4;
  args.decoupled_decay = 0.01;
  args.eta = 0.5;
  CheckRule<float>(*BestBackend(), args, {.grad_scale = 1.0 / 64}, 777);
  CheckRule<double>(*BestBackend(), args, {.grad_scale = 1.0 / 64}, 777);
}

// Large enough for three threads, odd enough that no part of the plain cut is whole vectors.
template <typename T>
void CheckThreads(UpdateRule rule, size_t backend) {
  const int64_t size = 100003;
  const UpdateArgs args{.rule = rule, .weight_decay = 1e-3};
  const UpdateNumbers numbers{.grad_scale = 1.0 / 3};
  std::vector<T> wanted;
  for (const int threads : {1, 2, 3}) {
    const auto b = Backends(threads)[backend];
    auto p = Numbers<T>(size, 1), s0 = Numbers<T>(size, 2, 0, 1), s1 = Numbers<T>(size, 3, 0, 1);
    const auto g = Numbers<T>(size, 4, -3, 3);
    b->optimizer().Update(DTypeOf<T>(), args, &numbers, size, p.data(), g.data(), s0.data(),
                          s1.data());
    p.insert(p.end(), s0.begin(), s0.end());
    p.insert(p.end(), s1.begin(), s1.end());
    if (wanted.empty()) wanted = p;
    EXPECT_EQ(p, wanted) << b->fingerprint() << " threads " << threads;
  }
}

TEST_P(OptimizerTest, BitsDoNotDependOnThreads) {
  for (size_t i = 0; i < Backends().size(); ++i) {
    CheckThreads<float>(GetParam(), i);
    CheckThreads<double>(GetParam(), i);
  }
}

// As updates by parts of a gradient cut it.
template <typename T>
void CheckCuts(Backend& b, UpdateRule rule) {
  const int64_t size = 1003;
  const UpdateArgs args{.rule = rule, .weight_decay = 1e-3};
  const UpdateNumbers numbers{.grad_scale = 1.0 / 3};
  std::vector<T> wanted;
  for (const int64_t piece : {size, int64_t{331}, int64_t{32}, int64_t{7}}) {
    auto p = Numbers<T>(size, 1), s0 = Numbers<T>(size, 2, 0, 1), s1 = Numbers<T>(size, 3, 0, 1);
    const auto g = Numbers<T>(size, 4, -3, 3);
    for (int64_t i = 0; i < size; i += piece) {
      b.optimizer().Update(DTypeOf<T>(), args, &numbers, std::min(piece, size - i), p.data() + i,
                           g.data() + i, s0.data() + i, s1.data() + i);
    }
    p.insert(p.end(), s0.begin(), s0.end());
    p.insert(p.end(), s1.begin(), s1.end());
    if (wanted.empty()) wanted = p;
    EXPECT_EQ(p, wanted) << b.fingerprint() << " pieces of " << piece;
  }
}

TEST_P(OptimizerTest, BitsDoNotDependOnWhereAnArrayIsCut) {
  for (const auto& b : Backends()) {
    CheckCuts<float>(*b, GetParam());
    CheckCuts<double>(*b, GetParam());
  }
}

TEST_P(OptimizerTest, ASkippedUpdateChangesNothing) {
  const UpdateNumbers numbers{.lr = std::numeric_limits<double>::quiet_NaN(), .skipped = 1};
  for (const auto& b : Devices()) {
    auto p = Numbers<float>(1003, 1), s0 = p, s1 = p;
    const auto before = p, g = Numbers<float>(1003, 2);
    b->optimizer().Update(DType::kFloat32, {.rule = GetParam()}, &numbers, 1003, p.data(), g.data(),
                          s0.data(), s1.data());
    for (const auto& array : {p, s0, s1}) EXPECT_EQ(array, before) << b->fingerprint();
  }
}

// The bits of the formula as the host would compute it.
TEST(UpdateNumbers, AreScaledByTheCountAndToTheLargestNorm) {
  for (const auto& b : Devices()) {
    for (const int64_t count : {1, 3, 64, 1000003}) {
      for (const double clipping : {0.0, 0.5, 1e30}) {
        UpdateNumbers numbers{.count = count, .squares = 77.7};
        b->optimizer().Prepare(clipping, &numbers);
        const double mean = 1.0 / static_cast<double>(count), norm = std::sqrt(77.7) * mean;
        const double rate = clipping > 0 && norm > clipping ? clipping / norm : 1.0;
        EXPECT_EQ(numbers.grad_scale, mean * rate) << count << " " << clipping;
        EXPECT_EQ(numbers.count, count);
        EXPECT_EQ(numbers.skipped, 0);
      }
    }
  }
}

// One number of an update with a loss scale behind gradients of these squares.
UpdateNumbers Follow(Backend& b, const LossScaling& rule, double squares, LossScale* scale) {
  UpdateNumbers n{.count = 4, .squares = squares};
  b.optimizer().FollowOverflow(rule, &n, scale);
  b.optimizer().Prepare(0.0, &n);
  return n;
}

TEST(LossScaling, HasTheNumbersOfTorchAmp) {
  EXPECT_EQ(LossScale{}.scale, 65536.0);
  EXPECT_EQ(LossScaling{}.growth, 2.0);
  EXPECT_EQ(LossScaling{}.backoff, 0.5);
  EXPECT_EQ(LossScaling{}.growth_interval, 2000);
}

TEST(LossScaling, HalvesBehindAnOverflowAndDoublesBehindItsInterval) {
  const LossScaling rule{.growth_interval = 3};
  for (const auto& b : Devices()) {
    LossScale scale{.scale = 8.0};
    for (const double bad : {std::numeric_limits<double>::infinity(), std::nan("")}) {
      EXPECT_EQ(Follow(*b, rule, 1.0, &scale).skipped, 0);
      const double before = scale.scale;
      EXPECT_NE(Follow(*b, rule, bad, &scale).skipped, 0);
      EXPECT_EQ(scale.scale, before / 2);
      EXPECT_EQ(scale.good_steps, 0);
    }
    EXPECT_EQ(scale.overflows, 2);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(Follow(*b, rule, 1.0, &scale).loss_scale, 2.0);
    EXPECT_EQ(scale.scale, 4.0);
    // The update is divided by what this step was multiplied by.
    EXPECT_EQ(Follow(*b, rule, 1.0, &scale).grad_scale, 1.0 / (4 * 4.0));
  }
}

TEST(LossScaling, DoesNotFollowAStepThatFailedByItself) {
  for (const auto& b : Devices()) {
    LossScale scale;
    UpdateNumbers n{.count = 4, .squares = INFINITY, .skipped = 1};
    b->optimizer().FollowOverflow({}, &n, &scale);
    EXPECT_EQ(scale.scale, 65536.0);
    EXPECT_EQ(scale.overflows, 0);
  }
}

TEST(LossScaling, DoesNotGrowBeyondFloat32) {
  for (const auto& b : Devices()) {
    LossScale scale{.scale = 0x1p127};
    Follow(*b, {.growth_interval = 1}, 1.0, &scale);
    EXPECT_EQ(scale.scale, 0x1p127);
  }
}

// A number in the device's memory, as an argument and in place.
TEST(ScaleBy, IsScaleByANumberInMemory) {
  for (const auto& b : Devices()) {
    const auto x = Numbers<float>(1001, 7);
    std::vector<float> wanted(x.size()), found = x;
    b->elementwise().Scale(DType::kFloat32, 0.25, 1001, x.data(), wanted.data());
    const double scale = 0.25;
    b->elementwise().ScaleBy(DType::kFloat32, &scale, 1001, found.data(), found.data());
    EXPECT_EQ(found, wanted);
  }
}

TEST(StepLog, NotesStepsUpToTheFirstThatFails) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const auto& b : Devices()) {
    for (const LossSums& bad :
         {LossSums{.loss = nan, .count = 3},
          LossSums{.loss = -std::numeric_limits<double>::infinity(), .count = 3},
          LossSums{.loss = 1.0, .count = 0}}) {
      auto log = std::make_unique<StepLog>();
      UpdateNumbers numbers;
      for (int64_t i = 1; i <= 3; ++i) {
        const LossSums good{.loss = 0.5, .count = i, .metric = 2.0, .metric_count = 7};
        b->optimizer().NoteStep(&good, log.get(), &numbers);
        EXPECT_EQ(numbers.count, i);
        EXPECT_EQ(numbers.skipped, 0);
        EXPECT_EQ(log->sums[i - 1].metric_count, 7);
      }
      b->optimizer().NoteStep(&bad, log.get(), &numbers);
      EXPECT_EQ(numbers.skipped, 1) << bad.loss;
      const LossSums good{.loss = 0.5, .count = 9};
      b->optimizer().NoteStep(&good, log.get(), &numbers);
      EXPECT_EQ(numbers.skipped, 1);
      EXPECT_EQ(log->steps, 4);
      EXPECT_EQ(log->failed, 1);
      EXPECT_EQ(log->sums[3].count, bad.count);
      EXPECT_EQ(log->sums[4].count, 0);
    }
  }
}

std::string RuleName(const testing::TestParamInfo<UpdateRule>& info) {
  constexpr const char* kNames[] = {"Sgd",  "Momentum", "NesterovChainer", "Nesterov",
                                    "Adam", "RmsProp",  "AdaGrad",         "AdaDelta"};
  return kNames[static_cast<size_t>(info.param)];
}

INSTANTIATE_TEST_SUITE_P(Rules, OptimizerTest,
                         testing::Values(UpdateRule::kSgd, UpdateRule::kMomentum,
                                         UpdateRule::kNesterovChainer, UpdateRule::kNesterov,
                                         UpdateRule::kAdam, UpdateRule::kRmsProp,
                                         UpdateRule::kAdaGrad, UpdateRule::kAdaDelta),
                         RuleName);

}  // namespace
}  // namespace lockstep::test
