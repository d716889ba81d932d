#include "engine/plan/chooser.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <locale>
#include <memory>
#include <string>

#include "engine/train/network.h"
#include "kernels/unavailable.h"
#include "tests/engine/forced_backend.h"
#include "tests/engine/test_networks.h"

namespace lockstep {
namespace {

ConvCase SmallCase() {
  return {{.n = 2, .c = 3, .h = 7, .w = 5, .k = 4, .kh = 3, .kw = 3, .pad_h = 1, .pad_w = 1},
          ConvPass::kForward,
          {},
          {}};
}

TEST(ConvCase, KeyNamesEverythingThatDecidesSpeed) {
  const ConvCase base = SmallCase();
  EXPECT_EQ(base.Key(), "float32 n2 c3 7x5 k4 3x3 s1x1 p1x1 d1x1 g1 forward 1 1");
  ConvCase other = base;
  other.pass = ConvPass::kBackwardData;
  EXPECT_NE(other.Key(), base.Key());
  other = base;
  other.x_layout.block = 3;
  EXPECT_NE(other.Key(), base.Key());
  other = base;
  other.shape.dilation_w = 2;
  EXPECT_NE(other.Key(), base.Key());
  other = base;
  other.shape.dy_sparsity = 4;
  EXPECT_EQ(other.Key(), base.Key() + " dy 1/4");
}

TEST(AlgorithmCache, ReadsBackWhatItWrote) {
  AlgorithmCache cache("cpu x 2 threads");
  EXPECT_FALSE(cache.changed());
  cache.Insert("key one", {"winograd", 0.25});
  cache.Insert("key two", {"direct", 1.5e-5});
  EXPECT_TRUE(cache.changed());
  AlgorithmCache copy("cpu x 2 threads");
  copy.Parse(cache.ToString());
  EXPECT_FALSE(copy.changed());
  ASSERT_NE(copy.Find("key two"), nullptr);
  EXPECT_EQ(copy.Find("key two")->algorithm, "direct");
  EXPECT_EQ(copy.Find("key two")->seconds, 1.5e-5);
  EXPECT_EQ(copy.ToString(), cache.ToString());
}

// Numbers as some locales write them: 1.234,5.
class Grouping : public std::numpunct<char> {
  char do_decimal_point() const override { return ','; }
  char do_thousands_sep() const override { return '.'; }
  std::string do_grouping() const override { return "\3"; }
};

TEST(AlgorithmCache, IsTheSameTextInEveryLocaleAndKeepsEveryDigit) {
  const std::locale before = std::locale::global(std::locale(std::locale(), new Grouping));
  ConvCase large = SmallCase();
  large.shape.n = 4096;
  AlgorithmCache cache("here"), copy("here");
  cache.Insert(large.Key(), {"direct", 0.1 + 0.2});
  copy.Parse(cache.ToString());
  std::locale::global(before);
  EXPECT_EQ(large.Key().substr(0, 13), "float32 n4096");
  ASSERT_NE(copy.Find(large.Key()), nullptr);
  EXPECT_EQ(copy.Find(large.Key())->seconds, 0.1 + 0.2);
}

TEST(AlgorithmCache, IgnoresAnotherMachinesFileAndBrokenLines) {
  AlgorithmCache cache("here");
  cache.Parse("elsewhere\nkey\tdirect\t1\n");
  EXPECT_EQ(cache.Find("key"), nullptr);
  cache.Parse("here\nkey\nonly\tone\nkey2\tdirect\tfast\n\t\t\nkey3\tdirect\t0.5\n");
  EXPECT_EQ(cache.Find("key"), nullptr);
  EXPECT_EQ(cache.Find("key2"), nullptr);
  ASSERT_NE(cache.Find("key3"), nullptr);
  cache.Parse("");
}

// One file for runs with several numbers of threads.
TEST(AlgorithmCache, KeepsWhatOthersHaveWritten) {
  AlgorithmCache two("2 threads"), one("1 thread");
  two.Insert("key", {"direct", 2.0});
  one.Parse(two.ToString());
  EXPECT_EQ(one.Find("key"), nullptr);
  one.Insert("key", {"winograd", 3.0});
  AlgorithmCache again("2 threads");
  again.Parse(one.ToString());
  ASSERT_NE(again.Find("key"), nullptr);
  EXPECT_EQ(again.Find("key")->algorithm, "direct");
  EXPECT_EQ(again.ToString(), two.ToString() + "\n1 thread\nkey\twinograd\t3\n");
  one.Parse(again.ToString());
  EXPECT_EQ(one.Find("key")->algorithm, "winograd");
}

// Two processes began with the same file.
TEST(AlgorithmCache, LosesNoChoiceThatAnotherHasWritten) {
  AlgorithmCache first("here"), second("here");
  first.Insert("a", {"direct", 1.0});
  first.Insert("both", {"direct", 1.0});
  second.Insert("b", {"winograd", 2.0});
  second.Insert("both", {"winograd", 2.0});
  second.AddFrom("elsewhere\n\n" + first.ToString());
  EXPECT_EQ(second.Find("a")->algorithm, "direct");
  EXPECT_EQ(second.Find("both")->algorithm, "winograd");
  EXPECT_EQ(second.ToString(),
            "here\na\tdirect\t1\nb\twinograd\t2\nboth\twinograd\t2\n\nelsewhere\n");
}

TEST(AlgorithmCache, ForgetsThoseThatHaveNotWrittenForLong) {
  std::string file;
  for (int i = 0; i < 40; ++i) {
    AlgorithmCache cache("device " + std::to_string(i));
    cache.Insert("key", {"direct", 1.0});
    cache.AddFrom(file);
    file = cache.ToString();
  }
  EXPECT_EQ(std::count(file.begin(), file.end(), '\t'), 2 * 16);
  AlgorithmCache recent("device 24"), old("device 23");
  recent.Parse(file);
  old.Parse(file);
  EXPECT_NE(recent.Find("key"), nullptr);
  EXPECT_EQ(old.Find("key"), nullptr);
}

TEST(AlgorithmChooser, TimesOnceAndRemembers) {
  const auto backend = MakeCpuBackend(1);
  AlgorithmCache cache;
  AlgorithmChooser chooser(*backend, cache, {});
  const std::string chosen = chooser.Choose(SmallCase());
  EXPECT_GT(chooser.Seconds(SmallCase()), 0.0);
  ASSERT_NE(cache.Find(SmallCase().Key()), nullptr);
  EXPECT_EQ(cache.Find(SmallCase().Key())->algorithm, chosen);
  cache.Insert(SmallCase().Key(), {"reference", 7.0});
  EXPECT_EQ(chooser.Choose(SmallCase()), "reference");
  EXPECT_EQ(chooser.Seconds(SmallCase()), 7.0);
}

TEST(AlgorithmCache, KeepsOfAJobTheConvolutionsItHas) {
  const auto backend = MakeCpuBackend(1);
  ConvCase other = SmallCase(), tail = SmallCase();
  other.shape.k = 5;
  tail.shape.n = 1;
  tail.pass = ConvPass::kBackwardData;
  AlgorithmCache cache("here");
  cache.Insert(other.Key(), {"reference", 1.0});
  cache.Insert(tail.Key(), {"reference", 1.0});
  EXPECT_EQ(cache.UsedToString(), "here\n");
  AlgorithmChooser(*backend, cache, {}).Choose(SmallCase());
  EXPECT_NE(cache.ToString().find(other.Key()), std::string::npos);
  const std::string used = cache.UsedToString();
  EXPECT_EQ(used.find(other.Key()), std::string::npos);
  EXPECT_NE(used.find(SmallCase().Key()), std::string::npos);
  // Of the batch that is still to come.
  EXPECT_NE(used.find(tail.Key()), std::string::npos);

  AlgorithmCache resumed("here");
  resumed.Parse(cache.ToString());
  resumed.ParseUsed(used);
  EXPECT_EQ(resumed.UsedToString(), used);
}

TEST(AlgorithmChooser, ChoosesAnewWhatThisBuildDoesNotOffer) {
  const auto backend = MakeCpuBackend(1);
  AlgorithmCache cache;
  cache.Insert(SmallCase().Key(), {"of another version", 1e-9});
  AlgorithmChooser chooser(*backend, cache, {});
  EXPECT_NE(chooser.Choose(SmallCase()), "of another version");
}

// Memory comes in blocks of no more than so many bytes.
class TightBackend : public BackendWrapper {
 public:
  explicit TightBackend(size_t most) : BackendWrapper(MakeCpuBackend(1)), most_(most) {}
  void* Allocate(size_t bytes, const std::string& purpose) override {
    if (bytes > most_) throw UnavailableError("out of memory for " + purpose);
    return BackendWrapper::Allocate(bytes, purpose);
  }

 private:
  const size_t most_;
};

// What an algorithm wants at once, beside the arrays it works on.
size_t WantedBy(Backend& backend, const ConvCase& problem, const std::string& algorithm) {
  const auto kernel = backend.conv().Make(problem.shape, problem.pass, algorithm, problem.x_layout,
                                          problem.y_layout);
  return std::max(kernel->scratch_bytes(), kernel->prepared_bytes());
}

TEST(AlgorithmChooser, LeavesOutWhatThereIsNoMemoryFor) {
  const auto backend = MakeCpuBackend(1);
  constexpr size_t kArrays = size_t{16} * 16 * 9 * sizeof(float);  // the weights are the largest
  int with_greedy_ones = 0;
  for (const int64_t block : {1, 8, 16}) {
    ConvCase problem = SmallCase();
    problem.shape.c = problem.shape.k = 16;
    problem.x_layout.block = problem.y_layout.block = block;
    size_t least = SIZE_MAX, most = 0;
    for (const std::string& algorithm : backend->conv().Algorithms(
             problem.shape, problem.pass, problem.x_layout, problem.y_layout, false)) {
      if (algorithm == "reference") continue;  // is not tried
      least = std::min(least, WantedBy(*backend, problem, algorithm));
      most = std::max(most, WantedBy(*backend, problem, algorithm));
    }
    if (most <= kArrays || least > kArrays) continue;
    ++with_greedy_ones;
    TightBackend tight(kArrays), empty(kArrays - 1);
    AlgorithmCache cache, nothing;
    const std::string chosen = AlgorithmChooser(tight, cache, {}).Choose(problem);
    EXPECT_LE(WantedBy(*backend, problem, chosen), kArrays) << chosen;
    EXPECT_THROW(AlgorithmChooser(empty, nothing, {}).Choose(problem), DeviceError);
    EXPECT_FALSE(nothing.changed());
  }
  EXPECT_GT(with_greedy_ones, 0);
}

// What is done to a kernel's operands before it runs; may throw.
using BeforeRun = std::function<void(const ConvBuffers&)>;

// Runs as another does.
class WatchedKernel : public ConvKernel {
 public:
  WatchedKernel(std::unique_ptr<ConvKernel> base, BeforeRun before)
      : base_(std::move(base)), before_(std::move(before)) {}
  size_t scratch_bytes() const override { return base_->scratch_bytes(); }
  size_t prepared_bytes() const override { return base_->prepared_bytes(); }
  void PrepareWeights(const void* weights, void* prepared) override {
    base_->PrepareWeights(weights, prepared);
  }
  void Run(const ConvBuffers& buffers) override {
    if (before_) before_(buffers);
    base_->Run(buffers);
  }

 private:
  std::unique_ptr<ConvKernel> base_;
  BeforeRun before_;
};

// Algorithms "0", "1", ..., of which each does the one of these before it runs.
class WatchedConv : public ConvKernels {
 public:
  WatchedConv(ConvKernels& base, std::vector<BeforeRun> before)
      : base_(base), before_(std::move(before)) {}
  std::vector<std::string> Algorithms(const ConvShape&, ConvPass, Layout, Layout,
                                      bool) const override {
    std::vector<std::string> names;
    for (size_t i = 0; i < before_.size(); ++i) names.push_back(std::to_string(i));
    return names;
  }
  std::unique_ptr<ConvKernel> Make(const ConvShape& shape, ConvPass pass,
                                   const std::string& algorithm, Layout x,
                                   Layout y) const override {
    return std::make_unique<WatchedKernel>(base_.Make(shape, pass, "reference", x, y),
                                           before_[std::stoul(algorithm)]);
  }
  std::vector<Layout> Layouts(int64_t c, DType dtype) const override {
    return base_.Layouts(c, dtype);
  }

 private:
  ConvKernels& base_;
  std::vector<BeforeRun> before_;
};

class WatchedBackend : public BackendWrapper {
 public:
  explicit WatchedBackend(std::vector<BeforeRun> before)
      : BackendWrapper(MakeCpuBackend(1)), conv_(base().conv(), std::move(before)) {}
  ConvKernels& conv() override { return conv_; }

 private:
  WatchedConv conv_;
};

// What it chooses of algorithms that fail like this, or run where it is null; or the message of
// the error.
std::string ChoiceOf(const std::vector<std::exception_ptr>& failures) {
  std::vector<BeforeRun> before;
  for (const std::exception_ptr& failure : failures) {
    before.emplace_back([failure](const ConvBuffers&) {
      if (failure) std::rethrow_exception(failure);
    });
  }
  WatchedBackend backend(std::move(before));
  AlgorithmCache cache;
  try {
    return AlgorithmChooser(backend, cache, {}).Choose(SmallCase());
  } catch (const DeviceError& error) {
    EXPECT_FALSE(cache.changed());
    return error.what();
  }
}

TEST(AlgorithmChooser, LeavesOutWhatCannotBeHadAndTellsWhatIsBroken) {
  const auto unavailable = [](const char* what) {
    return std::make_exception_ptr(UnavailableError(what));
  };
  const auto broken = std::make_exception_ptr(DeviceError("an illegal address"));
  EXPECT_EQ(ChoiceOf({unavailable("no memory"), nullptr, unavailable("not supported")}), "1");
  EXPECT_EQ(ChoiceOf({unavailable("the first"), unavailable("the last")}), "the first");
  // A kernel that breaks the device is no choice, but what others meet later is its doing.
  EXPECT_EQ(ChoiceOf({nullptr, broken}), "an illegal address");
  EXPECT_EQ(ChoiceOf({broken, nullptr}), "an illegal address");
}

TEST(AlgorithmChooser, TimesOnGradientsAsSparseAsTheyWillBe) {
  ConvCase problem = SmallCase();
  problem.shape.n = 50;
  problem.pass = ConvPass::kBackwardWeights;
  const int64_t size = problem.shape.n * problem.shape.k * 7 * 5;
  for (const int64_t sparsity : {1, 4, 9}) {
    problem.shape.dy_sparsity = sparsity;
    int64_t nonzeros = 0, runs = 0;
    WatchedBackend backend({[&](const ConvBuffers& b) {
      const auto* dy = static_cast<const float*>(b.y);
      nonzeros = size - std::count(dy, dy + size, 0.0F);
      ++runs;
    }});
    AlgorithmCache cache;
    AlgorithmChooser(backend, cache, {}).Choose(problem);
    EXPECT_GT(runs, 0);
    EXPECT_NEAR(static_cast<double>(nonzeros * sparsity) / static_cast<double>(size), 1, 0.1);
  }
}

TEST(AlgorithmChooser, FixedTakesTheFirstGuessWithoutTimingOrCache) {
  ForcedBackend backend(1, 0, "reference");  // always offered, by itself last
  AlgorithmCache cache;
  cache.Insert(SmallCase().Key(), {"implicit_gemm", 1.0});
  AlgorithmChooser chooser(backend, cache, {.fixed = true});
  EXPECT_EQ(chooser.Choose(SmallCase()), "reference");
  EXPECT_EQ(chooser.Seconds(SmallCase()), 0.0);
}

TEST(AlgorithmChooser, HurryTakesTheFirstGuessAndRemembersNothing) {
  ForcedBackend backend(1, 0, "reference");  // always offered, by itself last
  AlgorithmCache cache;
  AlgorithmChooser chooser(backend, cache, {.should_hurry = [] { return true; }});
  EXPECT_EQ(chooser.Choose(SmallCase()), "reference");
  EXPECT_FALSE(cache.changed());
}

TEST(AlgorithmChooser, ExactOffersNoWinogradAndHasItsOwnMemory) {
  const auto backend = MakeCpuBackend(1);
  ConvCase problem = SmallCase();
  problem.shape.c = problem.shape.k = 16;
  problem.x_layout = problem.y_layout = {16};
  AlgorithmCache cache;
  cache.Insert(problem.Key(), {"reference", 1.0});
  AlgorithmChooser chooser(*backend, cache, {.exact = true});
  const std::string chosen = chooser.Choose(problem);
  EXPECT_NE(chosen, "reference");
  EXPECT_EQ(chosen.find("winograd"), std::string::npos);
}

// Processes that share a file: each read it before the other had written.
class SharedAlgorithmFile : public testing::Test {
 protected:
  SharedAlgorithmFile() {
    Var x = graph_.Input("x", {{3, 6, 6}, DType::kFloat32});
    SquaredLoss(graph_, Conv2d(x, Conv3x3(4), "conv"));
  }
  ~SharedAlgorithmFile() override { std::filesystem::remove_all(directory_); }

  NetworkOptions options() const { return {.algorithm_file = file_}; }
  static void Predict(Network& network, int64_t rows) {
    network.Predict(Tensor(DType::kFloat32, Shape({rows, 3, 6, 6})));
  }
  std::string Written() const {
    std::ifstream file(file_);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  const std::filesystem::path directory_ =
      std::filesystem::temp_directory_path() / ("algorithms-" + std::to_string(getpid()));
  const std::string file_ = directory_ / "file";
  const bool made_ = std::filesystem::create_directory(directory_);
  const std::unique_ptr<Backend> backend_ = MakeCpuBackend(1);
  Graph graph_;
};

TEST_F(SharedAlgorithmFile, HasTheChoicesOfAll) {
  Network first(graph_, *backend_, options()), second(graph_, *backend_, options());
  Predict(first, 2);
  Predict(second, 3);
  EXPECT_NE(Written().find("float32 n2 "), std::string::npos);
  EXPECT_NE(Written().find("float32 n3 "), std::string::npos);
}

TEST_F(SharedAlgorithmFile, IsLeftAloneWhereItCannotBeRead) {
  std::ofstream(file_) << std::string(5 << 20, 'x');
  Network network(graph_, *backend_, options());
  Predict(network, 2);
  EXPECT_EQ(std::filesystem::file_size(file_), 5 << 20);
}

}  // namespace
}  // namespace lockstep
