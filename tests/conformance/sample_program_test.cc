// The sample program of the SageMaker Containers library, written with this one: 20 features, a
// dense layer of 64 units, dropout, SGD with every knob of Keras's, categorical cross entropy.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "lockstep/lockstep.h"

namespace lockstep {
namespace {

constexpr int32_t kClasses = 10;
constexpr double kRate = 0.01, kMomentum = 0.9, kDecay = 1e-6;

struct SampleNetwork {
  explicit SampleNetwork(uint64_t seed = 1) {
    Var h = graph.Input("x", {{20}, DType::kFloat32});
    h = Relu(Linear(h, {.out = 64}, "predictor/l1"));
    h = Dropout(h, 0.5, "predictor/dropout");
    h = Linear(h, {.out = kClasses}, "predictor/l2");
    graph.SetOutput(h);
    graph.SetLoss(SoftmaxCrossEntropy(h, graph.Input("t", {Shape{}, DType::kInt32})));
    network.emplace(graph, *backend, NetworkOptions{.seed = seed});
  }
  std::unique_ptr<Backend> backend = MakeCpuBackend(1);
  Graph graph;
  std::optional<Network> network;
};

DatasetSource Samples(int64_t rows, uint64_t seed) {
  return {SyntheticDataset({20}, kClasses, rows, seed), {.batch_size = 128, .seed = seed}};
}

TEST(SampleProgram, LearnsInTwentyEpochs) {
  SampleNetwork sample;
  DatasetSource train = Samples(1000, 1);
  Updater updater(sample.network->variables(), *sample.backend,
                  MakeNesterov(kMomentum, NesterovForm::kTextbook), {});
  const auto schedule = MakeKerasDecay(kDecay);
  LocalSync sync;
  Trainer trainer(*sample.network, train, updater, *schedule, sync,
                  {.epochs = 20, .learning_rate = kRate});
  const double before = EvaluateAll(*sample.network, train)->loss;
  train.Seek({0, 0});
  trainer.Run();
  EXPECT_EQ(trainer.clock().iteration, 20 * 8);
  EXPECT_DOUBLE_EQ(trainer.learning_rate(), kRate / (1 + kDecay * 160));
  const LossSums after = *EvaluateAll(*sample.network, train);
  EXPECT_LT(after.loss, 0.7 * before);
  EXPECT_EQ(after.metric_count, 1000);
  EXPECT_GT(after.metric / static_cast<double>(after.metric_count), 0.8);
}

TEST(SampleProgram, DropsUnitsInTrainingOnly) {
  SampleNetwork sample;
  DatasetSource source = Samples(128, 2);
  Batch batch = source.Next();
  const double first = sample.network->Train(batch).loss;
  EXPECT_EQ(sample.network->Train(batch).loss, first);
  batch.epoch = 1;
  EXPECT_NE(sample.network->Train(batch).loss, first);
  const double evaluated = sample.network->Evaluate(batch).loss;
  batch.epoch = 2;
  EXPECT_EQ(sample.network->Evaluate(batch).loss, evaluated);
}

// Where an element stands after `steps` with the gradient 1 throughout.
double AfterSteps(std::unique_ptr<Optimizer> optimizer, const Schedule& schedule, int steps) {
  const auto backend = MakeCpuBackend(1);
  Graph graph;
  const Var x = graph.Input("x", {{1}, DType::kFloat32});
  graph.SetOutput(Linear(x, {.out = 1, .bias = false}, "l"));
  Network network(graph, *backend, {.dtype = DType::kFloat64});
  Variables& variables = network.variables();
  variables.Set("l/W", Tensor(DType::kFloat64, {1, 1}));
  const double gradient = 1.0;
  std::memcpy(variables.Find("l/W").gradient, &gradient, sizeof gradient);
  Updater updater(variables, *backend, std::move(optimizer), {});
  for (int t = 0; t < steps; ++t) updater.Update(1, schedule.Rate(kRate, {.iteration = t}));
  return variables.Get("l/W").values<double>()[0];
}

TEST(SampleProgram, LearningRateMovesAsTheFormulaSays) {
  EXPECT_NEAR(AfterSteps(MakeSgd(), *MakeConstantSchedule(), 30), -30 * kRate, 1e-15);
}

TEST(SampleProgram, DecayPerIterationMovesAsTheFormulaSays) {
  for (const double decay : {kDecay, 0.5}) {
    double wanted = 0.0;
    for (int t = 0; t < 30; ++t) wanted -= kRate / (1 + decay * t);
    EXPECT_NEAR(AfterSteps(MakeSgd(), *MakeKerasDecay(decay), 30), wanted, 1e-15);
  }
}

// The velocity is -rate * (1 - m^t) / (1 - m), a geometric sum; so is the sum of the velocities.
double SumOfVelocities(double m, int steps) {
  return -kRate / (1 - m) * (steps - m * (1 - std::pow(m, steps)) / (1 - m));
}

TEST(SampleProgram, MomentumMovesAsTheFormulaSays) {
  for (const double m : {0.5, kMomentum}) {
    EXPECT_NEAR(AfterSteps(MakeMomentum(m), *MakeConstantSchedule(), 30), SumOfVelocities(m, 30),
                1e-14);
  }
}

TEST(SampleProgram, NesterovMovesAsTheFormulaSays) {
  for (const double m : {0.5, kMomentum}) {
    EXPECT_NEAR(AfterSteps(MakeNesterov(m, NesterovForm::kTextbook), *MakeConstantSchedule(), 30),
                m * SumOfVelocities(m, 30) - 30 * kRate, 1e-14);
  }
}

// What to_categorical and categorical_crossentropy give: -sum(one_hot * log(softmax)), whose
// gradient by the biases is the sum of softmax - one_hot.
TEST(SampleProgram, IntegerLabelsCountAsOneHot) {
  constexpr int64_t kRows = 7;
  const auto backend = MakeCpuBackend(1);
  Graph graph;
  const Var x = graph.Input("x", {{20}, DType::kFloat32});
  const Var y = Linear(x, {.out = kClasses}, "l");
  graph.SetOutput(y);
  graph.SetLoss(SoftmaxCrossEntropy(y, graph.Input("t", {Shape{}, DType::kInt32})));
  Network network(graph, *backend, {.dtype = DType::kFloat64, .seed = 3});
  DatasetSource source(SyntheticDataset({20}, kClasses, kRows, 4),
                       {.batch_size = kRows, .transform = {.dtype = DType::kFloat64}});
  const Batch& batch = source.Next();
  const LossSums sums = network.Train(batch);

  Tensor rows(DType::kFloat64, {kRows, 20});
  std::memcpy(rows.data(), batch.x, rows.bytes());
  const Tensor logits = network.Predict(rows);
  double loss = 0.0, right = 0.0;
  std::vector<double> gradient(kClasses);
  for (size_t row = 0; row < kRows; ++row) {
    const auto scores = logits.values<double>().subspan(row * kClasses, kClasses);
    std::vector<double> one_hot(kClasses);
    one_hot[static_cast<size_t>(static_cast<const int32_t*>(batch.labels)[row])] = 1.0;
    double sum = 0.0;
    for (const double score : scores) sum += std::exp(score);
    for (size_t c = 0; c < kClasses; ++c) {
      loss -= one_hot[c] * std::log(std::exp(scores[c]) / sum);
      gradient[c] += std::exp(scores[c]) / sum - one_hot[c];
    }
    const auto best = std::max_element(scores.begin(), scores.end()) - scores.begin();
    right += one_hot[static_cast<size_t>(best)];
  }
  EXPECT_NEAR(sums.loss, loss, 1e-12);
  EXPECT_EQ(sums.metric, right);
  const Tensor found = network.variables().GetGradient("l/b");
  for (size_t c = 0; c < kClasses; ++c) {
    EXPECT_NEAR(found.values<double>()[c], gradient[c], 1e-12);
  }
}

}  // namespace
}  // namespace lockstep
