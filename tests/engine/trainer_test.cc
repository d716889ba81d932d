// What the loop asks of its parts before it starts.
#include "engine/train/trainer.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "data/batch_iterator.h"
#include "engine/graph/layers.h"
#include "kernels/backend.h"
#include "kernels/conv.h"
#include "kernels/error.h"
#include "tests/engine/compare.h"

namespace lockstep {
namespace {

using testing::HasSubstr;

// Of a linear network for samples (3,).
class FittingSources : public testing::Test {
 protected:
  // Loss sum and count of one pass over 22 samples.
  LossSums Evaluate(SourceOptions options) const {
    Tensor features(DType::kFloat32, Shape({22, 3}));
    for (size_t i = 0; i < 66; ++i) features.values<float>()[i] = static_cast<float>(i % 7);
    options.shuffle = false;
    DatasetSource source(Dataset(features, Labels(DType::kInt32, {22}), {}), options);
    Network network(classes_, *backend_, {.seed = 1});
    return *EvaluateAll(network, source);
  }
  // What a trainer and an evaluation say about labels of that type; "" when they take them.
  std::string Answer(const Graph& graph, const Tensor& labels, DType dtype = DType::kFloat32,
                     const Shape& sample = {3}) const {
    std::vector<int64_t> dims{8};
    dims.insert(dims.end(), sample.dims().begin(), sample.dims().end());
    const Tensor features(DType::kFloat32, Shape(std::span<const int64_t>(dims)));
    DatasetSource source(Dataset(features, labels, {}),
                         {.batch_size = 4, .transform = {.dtype = dtype}});
    Network network(graph, *backend_, {.dtype = dtype});
    Updater updater(network.variables(), *backend_, MakeSgd(), {});
    const auto schedule = MakeConstantSchedule();
    LocalSync sync;
    const std::string answer = ErrorOf(
        [&] { Trainer(network, source, updater, *schedule, sync, {.learning_rate = 0.1}).Run(); });
    EXPECT_EQ(ErrorOf([&] { EvaluateAll(network, source); }), answer);
    return answer;
  }
  template <typename Action>
  static std::string ErrorOf(Action action) {
    try {
      action();
    } catch (const Error& error) {
      return std::to_string(static_cast<int>(error.code())) + ": " + error.what();
    }
    return "";
  }
  static Tensor Labels(DType dtype, const Shape& shape) { return Tensor(dtype, shape); }

  FittingSources() {
    Var x = classes_.Input("x", {{3}, DType::kFloat32});
    x = Linear(x, {.out = 5}, "l");
    classes_.SetLoss(SoftmaxCrossEntropy(x, classes_.Input("t", {Shape({}), DType::kInt32})));
    x = targets_.Input("x", {{3}, DType::kFloat32});
    x = Linear(x, {.out = 2}, "l");
    targets_.SetLoss(MeanSquaredError(x, targets_.Input("t", {{2}, DType::kFloat32})));
  }

  std::unique_ptr<Backend> backend_ = MakeCpuBackend(1);
  Graph classes_, targets_;
};

TEST_F(FittingSources, AreTaken) {
  EXPECT_EQ(Answer(classes_, Labels(DType::kInt32, {8})), "");
  EXPECT_EQ(Answer(targets_, Labels(DType::kFloat32, {8, 2})), "");
}

TEST_F(FittingSources, HaveTargetsOfTheNetworksPrecision) {
  EXPECT_EQ(Answer(targets_, Labels(DType::kFloat32, {8, 2}), DType::kFloat64), "");
}

TEST_F(FittingSources, DoNotHaveTargetsForClasses) {
  EXPECT_THAT(Answer(classes_, Labels(DType::kFloat32, {8})), HasSubstr("float32 (1,)"));
  EXPECT_THAT(Answer(classes_, Labels(DType::kFloat32, {8})),
              testing::StartsWith("65: the labels of the data are"));
}

TEST_F(FittingSources, DoNotHaveClassesForTargets) {
  EXPECT_THAT(Answer(targets_, Labels(DType::kInt32, {8})),
              HasSubstr("int32 (), the network's input t wants float32 (2,)"));
}

TEST_F(FittingSources, HaveAsManyTargetsAsTheNetworkPredicts) {
  EXPECT_THAT(Answer(targets_, Labels(DType::kFloat32, {8})), HasSubstr("float32 (1,)"));
}

TEST_F(FittingSources, HaveSamplesOfTheNetworksShape) {
  EXPECT_THAT(Answer(classes_, Labels(DType::kInt32, {8}), DType::kFloat32, {4}),
              HasSubstr("the samples of the data are float32 (4,)"));
}

TEST_F(FittingSources, AreEvaluatedOnceASample) {
  const LossSums whole = Evaluate({.batch_size = 5});
  EXPECT_EQ(whole.count, 22);
  LossSums sum;
  for (const int rank : {0, 1, 2}) {
    const LossSums part = Evaluate({.batch_size = 5, .rank = rank, .ranks = 3});
    sum.loss += part.loss;
    sum.count += part.count;
  }
  EXPECT_EQ(sum.count, 22);
  EXPECT_NEAR(sum.loss, whole.loss, 1e-5);
  EXPECT_EQ(Evaluate({.batch_size = 5, .drop_last = true}).count, 20);
}

// A trainer after a step, and its state as a file would bring it back.
class RestoredStates : public FittingSources {
 protected:
  RestoredStates() {
    trainer_.Step();
    state_ = trainer_.State();
    for (auto& [name, tensor] : state_.tensors) {
      tensor = tensor.Clone();
      std::memset(tensor.data(), 0, tensor.bytes());
    }
    weights_ = network_.variables().Get("l/W").Clone();
  }
  // The answer to a state with another value, which must not have changed anything.
  std::string With(const std::string& name, CheckpointValue value) {
    CheckpointContents state = state_;
    state.values.at(name) = std::move(value);
    const std::string answer = ErrorOf([&] { trainer_.Restore(state); });
    EXPECT_TRUE(SameBits(network_.variables().Get("l/W"), weights_)) << name;
    EXPECT_EQ(trainer_.clock().iteration, 1);
    return answer;
  }

  DatasetSource source_{Dataset(Tensor(DType::kFloat32, {8, 3}), Tensor(DType::kInt32, {8}), {}),
                        {.batch_size = 4}};
  Network network_{classes_, *backend_, {}};
  Updater updater_{network_.variables(), *backend_, MakeSgd(), {}};
  std::unique_ptr<Schedule> schedule_ = MakeConstantSchedule();
  LocalSync sync_;
  Trainer trainer_{network_, source_, updater_, *schedule_, sync_, {.learning_rate = 0.1}};
  CheckpointContents state_;
  Tensor weights_;
};

TEST_F(RestoredStates, AreTakenWhole) {
  state_.values["trainer/iteration"] = int64_t{7};
  EXPECT_EQ(ErrorOf([&] { trainer_.Restore(state_); }), "");
  EXPECT_EQ(trainer_.clock().iteration, 7);
  EXPECT_EQ(network_.variables().Get("l/W").values<float>()[1], 0.0F);
}

TEST_F(RestoredStates, WithValuesThatNoTrainingLeavesAreBadData) {
  EXPECT_EQ(With("trainer/iteration", int64_t{-5}),
            "65: the checkpoint's value \"trainer/iteration\" is -5, wanted 0 to 1000000000000000; "
            "the file is damaged");
  for (const char* name : {"trainer/iteration", "trainer/epoch", "trainer/interval_batches",
                           "optimizer/updates", "data/epoch", "data/offset"}) {
    for (const int64_t value : {int64_t{-1}, std::numeric_limits<int64_t>::max()}) {
      EXPECT_THAT(With(name, value), testing::StartsWith("65: ")) << name;
    }
  }
  for (const char* name : {"trainer/interval_loss", "trainer/interval_metric"}) {
    for (const double value : {std::nan(""), -std::nan("")}) {
      EXPECT_THAT(With(name, value), HasSubstr("is nan, wanted a finite number"));
    }
  }
}

TEST_F(RestoredStates, HoldNoAlgorithmsOfOtherJobs) {
  const std::string key = "float32 n64 c3 32x32 k64 3x3 s1x1 p1x1 d1x1 g1 forward 1 16";
  network_.algorithms().Insert(key, {"direct", 1.0});
  EXPECT_EQ(trainer_.State().Text("network/algorithms").find(key), std::string::npos);
  state_.values["network/algorithms"] = network_.algorithms().ToString();
  EXPECT_EQ(ErrorOf([&] { trainer_.Restore(state_); }), "");
  EXPECT_NE(trainer_.State().Text("network/algorithms").find(key), std::string::npos);
}

TEST_F(RestoredStates, HoldNoAlgorithmsOfAnotherGeneration) {
  const std::string key = "float32 n64 c3 32x32 k64 3x3 s1x1 p1x1 d1x1 g1 forward 1 16";
  network_.algorithms().Insert(key, {"direct", 1.0});
  std::string text = network_.algorithms().ToString();
  const std::string here = " generation " + std::to_string(kConvGeneration) + "\n";
  ASSERT_NE(text.find(here), std::string::npos) << text;
  state_.values["network/algorithms"] =
      text.replace(text.find(here), here.size(), " generation 1\n");
  EXPECT_EQ(ErrorOf([&] { trainer_.Restore(state_); }), "");
  EXPECT_EQ(trainer_.State().Text("network/algorithms").find(key), std::string::npos);
}

TEST_F(RestoredStates, OfOtherDataChangeNothing) {
  EXPECT_THAT(With("data/fingerprint", std::string("0123456789abcdef")),
              testing::AllOf(testing::StartsWith("76: the training data is not that of"),
                             HasSubstr("fingerprint 0123456789abcdef there, "),
                             HasSubstr("; give the files it was written with")));
  EXPECT_THAT(With("data/fingerprint", int64_t{1}), testing::StartsWith("76: "));
}

TEST_F(RestoredStates, OfBeforeThereWereFingerprintsAreTaken) {
  EXPECT_EQ(state_.values.erase("data/fingerprint"), 1U);
  EXPECT_EQ(ErrorOf([&] { trainer_.Restore(state_); }), "");
}

TEST_F(RestoredStates, OfOtherJobsChangeNothing) {
  EXPECT_THAT(With("optimizer/settings", std::string("other")), testing::StartsWith("76: "));
  EXPECT_THAT(With("graph/hash", std::string("1")), testing::StartsWith("76: "));
  EXPECT_THAT(With("network/algorithms", int64_t{1}), testing::StartsWith("76: "));
}

}  // namespace
}  // namespace lockstep
