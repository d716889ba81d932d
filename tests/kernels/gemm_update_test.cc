// Updates of parameters by the product that is their gradient, against Gemm() and Update() one
// after the other: the same bits.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cpu/backend.h"
#include "kernels/cpu/dispatch.h"
#include "kernels/error.h"
#include "tests/kernels/kernel_test.h"

namespace lockstep::cpu {
namespace {

using test::Numbers;

// Parameters (m, n) with their states and what their gradient is the product of.
struct Problem {
  GemmArgs args;
  std::vector<float> a, b, c, p, s0, s1;

  Problem(int64_t m, int64_t n, int64_t k, bool trans_a = true, bool trans_b = false,
          int64_t extra_stride = 0) {
    args = {.trans_a = trans_a, .trans_b = trans_b, .m = m, .n = n, .k = k};
    args.lda = (trans_a ? m : k) + extra_stride;
    args.ldb = (trans_b ? k : n) + extra_stride;
    args.ldc = n + extra_stride;
    a = Numbers<float>((trans_a ? k : m) * args.lda, 1);
    b = Numbers<float>((trans_b ? n : k) * args.ldb, 2);
    c = p = Numbers<float>(m * args.ldc, 3);
    s0 = Numbers<float>(m * args.ldc, 4, 0, 1);
    s1 = Numbers<float>(m * args.ldc, 5, 0, 1);
  }

  GemmArgs Arguments() {
    args.a = a.data();
    args.b = b.data();
    args.c = c.data();
    return args;
  }
  // Row by row, as nothing else is said of what lies between rows.
  void UpdateBehind(Backend& backend, const UpdateArgs& update, const UpdateNumbers& numbers) {
    backend.gemm().Gemm(DType::kFloat32, Arguments());
    for (int64_t i = 0; i < args.m; ++i) {
      const int64_t at = i * args.ldc;
      backend.optimizer().Update(DType::kFloat32, update, &numbers, args.n, p.data() + at,
                                 c.data() + at, s0.data() + at, s1.data() + at);
    }
  }
  void UpdateInProduct(Backend& backend, const UpdateArgs& update, const UpdateNumbers& numbers) {
    backend.gemm().GemmUpdate(
        DType::kFloat32, Arguments(),
        {.args = update, .numbers = &numbers, .p = p.data(), .s0 = s0.data(), .s1 = s1.data()});
  }
};

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

void ExpectTheBitsOfBoth(Backend& backend, const Problem& problem, const UpdateArgs& update) {
  const UpdateNumbers numbers{.lr = 0.03, .grad_scale = 1.0 / 7};
  Problem wanted = problem, found = problem;
  ASSERT_TRUE(backend.gemm().can_update(DType::kFloat32, problem.args));
  wanted.UpdateBehind(backend, update, numbers);
  found.UpdateInProduct(backend, update, numbers);
  const std::string where = "rule " + std::to_string(static_cast<int>(update.rule)) + " (" +
                            std::to_string(problem.args.m) + ", " + std::to_string(problem.args.n) +
                            ", " + std::to_string(problem.args.k) + ")";
  EXPECT_FALSE(SameBits(found.p, problem.p)) << where;
  EXPECT_TRUE(SameBits(found.p, wanted.p)) << where;
  EXPECT_TRUE(SameBits(found.s0, wanted.s0)) << where;
  EXPECT_TRUE(SameBits(found.s1, wanted.s1)) << where;
}

// For each instruction set of this machine, on so many threads.
class GemmUpdateTest : public testing::TestWithParam<int> {
 protected:
  void ExpectTheBitsOfBoth(const Problem& problem, const UpdateArgs& update) {
    for (const auto& backend : backends_) cpu::ExpectTheBitsOfBoth(*backend, problem, update);
  }
  const std::vector<std::shared_ptr<Backend>> backends_ = test::Backends(GetParam());
};

// Groups of 12 and of 32 rows, whole and not; more columns than are packed at once, and a narrow
// rest of them; rows that are shared unevenly.
constexpr int64_t kExtents[][3] = {{97, 129, 32},   {96, 128, 64},   {101, 200, 63}, {100, 784, 64},
                                   {131, 1100, 40}, {97, 2080, 128}, {200, 133, 37}};
// On tiles of AMX not with an update.
constexpr int64_t kManySteps[][3] = {{101, 150, 129}, {97, 1030, 512}, {300, 65, 256}};

TEST_P(GemmUpdateTest, HasTheBitsOfAProductAndAnUpdate) {
  const UpdateArgs update{.rule = UpdateRule::kMomentum, .weight_decay = 1e-3};
  for (const auto& [m, n, k] : kExtents) {
    for (const bool trans_a : {true, false}) {
      for (const bool trans_b : {true, false}) {
        ExpectTheBitsOfBoth(Problem(m, n, k, trans_a, trans_b, 0), update);
        ExpectTheBitsOfBoth(Problem(m, n, k, trans_a, trans_b, 5), update);
      }
    }
  }
}

TEST_P(GemmUpdateTest, TakesManySteps) {
  for (const auto& [m, n, k] : kManySteps) {
    for (const auto& backend : backends_) {
      const Problem problem(m, n, k);
      if (!backend->gemm().can_update(DType::kFloat32, problem.args)) {
        EXPECT_EQ(backend, backends_.back());
        EXPECT_EQ(BestIsa(), Isa::kAmx);
        continue;
      }
      cpu::ExpectTheBitsOfBoth(*backend, problem, {.rule = UpdateRule::kMomentum});
    }
  }
}

// Left out where that pays: more rows than are listed at once, and strips of columns.
TEST_P(GemmUpdateTest, LeavesOutZeros) {
  for (const int64_t rows : {300, 1000}) {
    Problem problem(rows, 1100, 64);
    for (size_t i = 0; i < problem.a.size(); ++i) {
      if (i % 7 != 3) problem.a[i] = 0;
    }
    ExpectTheBitsOfBoth(problem, {.rule = UpdateRule::kMomentum});
    problem.b[70] = std::numeric_limits<float>::infinity();
    ExpectTheBitsOfBoth(problem, {.rule = UpdateRule::kMomentum});
  }
}

TEST_P(GemmUpdateTest, KnowsEveryRule) {
  for (const UpdateRule rule :
       {UpdateRule::kSgd, UpdateRule::kMomentum, UpdateRule::kNesterovChainer,
        UpdateRule::kNesterov, UpdateRule::kAdam, UpdateRule::kRmsProp, UpdateRule::kAdaGrad,
        UpdateRule::kAdaDelta}) {
    ExpectTheBitsOfBoth(Problem(105, 333, 50),
                        {.rule = rule, .decoupled_decay = 0.01, .weight_decay = 1e-3});
  }
}

// What tiles do not take is done otherwise: in the first group, whose place the others use, and
// behind the columns that are packed at once.
TEST_P(GemmUpdateTest, TakesNumbersThatTilesDoNot) {
  for (const float odd :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 3.4e38F}) {
    for (const int64_t columns : {150, 2080}) {
      for (const int64_t row : {3, 40, 96}) {
        Problem problem(97, columns, 64);
        problem.a[static_cast<size_t>(5 * problem.args.lda + row)] = odd;
        ExpectTheBitsOfBoth(problem, {.rule = UpdateRule::kMomentum});
        problem.b[static_cast<size_t>(7 * problem.args.ldb + columns - 50)] = odd;
        ExpectTheBitsOfBoth(problem, {.rule = UpdateRule::kMomentum});
      }
    }
  }
}

TEST_P(GemmUpdateTest, ASkippedUpdateChangesNothing) {
  for (const auto& backend : backends_) {
    Problem problem(100, 90, 60);
    const Problem before = problem;
    problem.UpdateInProduct(*backend, {.rule = UpdateRule::kAdam}, {.skipped = 1});
    EXPECT_TRUE(SameBits(problem.p, before.p));
    EXPECT_TRUE(SameBits(problem.s0, before.s0));
    EXPECT_TRUE(SameBits(problem.s1, before.s1));
  }
}

// Rules without states get none.
TEST_P(GemmUpdateTest, StatesMayBeMissing) {
  for (const auto& backend : backends_) {
    Problem wanted(100, 90, 64), found = wanted;
    const UpdateNumbers numbers{.grad_scale = 0.5};
    wanted.UpdateBehind(*backend, {.rule = UpdateRule::kSgd}, numbers);
    backend->gemm().GemmUpdate(
        DType::kFloat32, found.Arguments(),
        {.args = {.rule = UpdateRule::kSgd}, .numbers = &numbers, .p = found.p.data()});
    EXPECT_TRUE(SameBits(found.p, wanted.p));
  }
}

INSTANTIATE_TEST_SUITE_P(Threads, GemmUpdateTest, testing::Values(1, 2, 3),
                         testing::PrintToStringParamName());

// On every machine.
TEST(GemmUpdate, IsRefusedWhereItIsNotOffered) {
  for (const Isa isa : SupportedIsas()) {
    CpuBackend backend(2, isa);
    const auto refuses = [&](DType dtype, const GemmArgs& args) {
      EXPECT_FALSE(backend.gemm().can_update(dtype, args));
      EXPECT_THROW(backend.gemm().GemmUpdate(dtype, args, {}), Error);
    };
    const GemmArgs good{.trans_a = true, .m = 100, .n = 200, .k = 64};
    EXPECT_TRUE(backend.gemm().can_update(DType::kFloat32, good));
    refuses(DType::kFloat64, good);
    refuses(DType::kBfloat16, good);
    GemmArgs args = good;
    args.beta = 1;
    refuses(DType::kFloat32, args);
    args = good;
    args.bias = &args;
    refuses(DType::kFloat32, args);
    args = good;
    args.activation = Activation::kRelu;
    refuses(DType::kFloat32, args);
    args = good;
    args.k = isa == Isa::kAmx ? 129 : 513;  // where C is not written along its rows, at one go
    refuses(DType::kFloat32, args);
    args = good;
    args.n = 63;  // too few for vectors along them; on tiles as good as others
    if (isa != Isa::kAmx) refuses(DType::kFloat32, args);
    args = good;
    args.m = 31;  // too few for two threads
    refuses(DType::kFloat32, args);
  }
}

}  // namespace
}  // namespace lockstep::cpu
