// Training on a device whose memory the host cannot touch and whose work is done when it is waited
// for: what is trained has the bits of the CPU.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "data/batch_iterator.h"
#include "engine/train/state.h"
#include "engine/train/trainer.h"
#include "kernels/error.h"
#include "tests/engine/compare.h"
#include "tests/engine/rounding.h"
#include "tests/engine/test_networks.h"
#include "tests/kernels/far_backend.h"
#include "tests/kernels/host_device.h"

namespace lockstep {
namespace {

constexpr int64_t kSamples = 26, kBatch = 8;

struct JobOptions {
  NetworkOptions network = {};
  std::string optimizer = "momentum";
  UpdateHooks hooks = {};
  int64_t iterations = 5;  // with a short batch among them
  bool changing_rate = false;
  std::optional<double> loss_scale = {};  // of float16, to begin with
};

// Everything that trains one network on one backend.
class Job {
 public:
  Job(Backend& backend, const Graph& graph, const Tensor& x, const Tensor& labels,
      JobOptions options = {})
      : network(graph, backend, options.network),
        updater(network.variables(), backend, MakeOptimizer(options), options.hooks),
        source(Dataset(x, labels, {}),
               {.batch_size = kBatch, .transform = {.dtype = options.network.dtype}}),
        schedule_(options.changing_rate ? MakeWarmUp(5, MakeCosine(12, 0.001))
                                        : MakeConstantSchedule()),
        trainer(network, source, updater, *schedule_, sync_,
                {.epochs = 0, .iterations = options.iterations, .learning_rate = 0.01}) {
    if (options.loss_scale) network.variables().SetLossScale({.scale = *options.loss_scale});
  }

  // By name, with the optimizer's arrays; running statistics where they are asked for.
  std::map<std::string, Tensor> Arrays(bool states = true) {
    std::map<std::string, Tensor> arrays;
    for (const Variables::Entry& entry : network.variables().entries()) {
      if (entry.role == Role::kState && !states) continue;
      arrays[entry.name] = network.variables().Get(entry.name);
      if (entry.role != Role::kParameter) continue;
      for (const std::string& state : updater.optimizer().state_names()) {
        arrays[entry.name + " " + state] = updater.GetState(entry.name, state);
      }
    }
    return arrays;
  }

  Network network;
  Updater updater;
  DatasetSource source;

 private:
  static std::unique_ptr<Optimizer> MakeOptimizer(const JobOptions& options) {
    if (options.optimizer == "adam") return MakeAdam();
    return MakeMomentum();
  }
  std::unique_ptr<Schedule> schedule_;
  LocalSync sync_;

 public:
  Trainer trainer;
};

void ExpectSame(const std::map<std::string, Tensor>& a, const std::map<std::string, Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) {
    ASSERT_TRUE(b.contains(name)) << name;
    EXPECT_TRUE(SameBits(tensor, b.at(name))) << name;
  }
}

void ExpectSame(const LossSums& a, const LossSums& b) {
  EXPECT_EQ(a.loss, b.loss);
  EXPECT_EQ(a.count, b.count);
  EXPECT_EQ(a.metric, b.metric);
  EXPECT_EQ(a.metric_count, b.metric_count);
}

// Relative to the largest element of each array.
void ExpectClose(const std::map<std::string, Tensor>& a, const std::map<std::string, Tensor>& b,
                 double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) {
    const Tensor wanted = tensor.Cast(DType::kFloat64), found = b.at(name).Cast(DType::kFloat64);
    double largest = 0.0, difference = 0.0;
    for (size_t i = 0; i < wanted.values<double>().size(); ++i) {
      const double value = wanted.values<double>()[i];
      largest = std::max(largest, std::abs(value));
      difference = std::max(difference, std::abs(found.values<double>()[i] - value));
    }
    EXPECT_LE(difference, tolerance * largest) << name;
  }
}

class FarDeviceTest : public testing::Test {
 protected:
  FarDeviceTest() {
    AddMiniVgg(vgg_);
    AddZoo(zoo_);
    for (size_t i = 0; i < vgg_labels_.values<int32_t>().size(); ++i) {
      vgg_labels_.values<int32_t>()[i] = i % 6 == 5 ? -1 : static_cast<int32_t>(i % 7);
    }
  }
  static Tensor Features(DType dtype, const Shape& shape) {
    Tensor x(dtype, shape);
    const auto fill = [&](auto values) {
      for (size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<std::remove_reference_t<decltype(values[0])>>(
            0.013 * static_cast<double>(i * 7919 % 199) - 1.2);
      }
    };
    dtype == DType::kFloat64 ? fill(x.values<double>()) : fill(x.values<float>());
    return x;
  }
  // Trains on both, with the same choices of algorithms, and compares all there is.
  void ExpectSameTraining(const Graph& graph, const Tensor& x, const Tensor& labels,
                          const JobOptions& options) {
    ExpectSameTraining(far_, graph, x, labels, options);
  }
  void ExpectSameTraining(FarBackend& far, const Graph& graph, const Tensor& x,
                          const Tensor& labels, const JobOptions& options) {
    Job near(*cpu_, graph, x, labels, options);
    near.trainer.Run();
    Job remote(far, graph, x, labels, options);
    remote.network.algorithms().Parse(near.network.algorithms().ToString());
    remote.trainer.Run();
    ExpectSame(near.Arrays(), remote.Arrays());
    EXPECT_EQ(near.trainer.last_sums().loss, remote.trainer.last_sums().loss);
    EXPECT_EQ(near.trainer.last_sums().metric, remote.trainer.last_sums().metric);
    EXPECT_EQ(near.trainer.interval().loss, remote.trainer.interval().loss);
    EXPECT_EQ(near.trainer.interval().batches, remote.trainer.interval().batches);
    EXPECT_EQ(near.updater.updates(), remote.updater.updates());
    if (options.loss_scale) ExpectSameOverflows(near, remote);
    const auto evaluated = EvaluateAll(near.network, near.source);
    EXPECT_EQ(evaluated->loss, EvaluateAll(remote.network, remote.source)->loss);
    EXPECT_GT(evaluated->count, 0);
  }

  static void ExpectSameOverflows(const Job& near, const Job& remote) {
    const LossScale a = near.network.variables().GetLossScale();
    const LossScale b = remote.network.variables().GetLossScale();
    EXPECT_EQ(a.scale, b.scale);
    EXPECT_EQ(a.overflows, b.overflows);
    EXPECT_GT(a.overflows, 0);
    EXPECT_GT(near.updater.updates(), 0);
  }

  // Trains on both until it fails: as nobody knows more on a device than on the CPU, both have said
  // the same and stand where the step began.
  void ExpectSameFailure(FarBackend& far, const char* words, bool states) {
    const JobOptions options{.hooks = {.gradient_clipping = 0.5}, .iterations = 4};
    Job near(*cpu_, vgg_, pictures_, vgg_labels_, options);
    const std::string wanted = ErrorOf(near);
    EXPECT_THAT(wanted, testing::HasSubstr(words));
    Job remote(far, vgg_, pictures_, vgg_labels_, options);
    remote.network.algorithms().Parse(near.network.algorithms().ToString());
    EXPECT_EQ(ErrorOf(remote), wanted);
    EXPECT_EQ(remote.trainer.clock().iteration, near.trainer.clock().iteration);
    EXPECT_EQ(remote.trainer.clock().epoch_ended, near.trainer.clock().epoch_ended);
    EXPECT_EQ(remote.source.position(), near.source.position());
    EXPECT_EQ(remote.updater.updates(), near.updater.updates());
    EXPECT_EQ(remote.trainer.interval().batches, near.trainer.interval().batches);
    ExpectSame(near.Arrays(states), remote.Arrays(states));
    // What is wrong with one batch does not stop the next.
    const int64_t before = near.updater.updates();
    near.trainer.Step();
    remote.trainer.Step();
    remote.trainer.Settle();
    EXPECT_EQ(near.updater.updates(), before + 1);
    ExpectSame(near.Arrays(states), remote.Arrays(states));
  }
  static std::string ErrorOf(Job& job) {
    try {
      job.trainer.Run();
    } catch (const FormatError& error) {
      return error.what();
    }
    return "";
  }

  std::unique_ptr<Backend> cpu_ = MakeCpuBackend(1);
  FarBackend far_;
  Graph vgg_, zoo_;
  Tensor pictures_ = Features(DType::kFloat32, {kSamples, 3, 13, 10});
  Tensor vgg_labels_{DType::kInt32, Shape({kSamples})};
};

TEST_F(FarDeviceTest, ANarrowVggIsTrainedToTheSameBits) {
  ExpectSameTraining(vgg_, pictures_, vgg_labels_, {});
}

TEST_F(FarDeviceTest, EveryOpIsTrainedToTheSameBits) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat64}) {
    ExpectSameTraining(zoo_, Features(dtype, {kSamples, 5, 11, 9}), Features(dtype, {kSamples, 5}),
                       {.network = {.dtype = dtype}, .optimizer = "adam"});
  }
}

TEST_F(FarDeviceTest, HooksPartsAndFrozenWeightsWorkThere) {
  ExpectSameTraining(vgg_, pictures_, vgg_labels_,
                     {.network = {.frozen = {"b2/conv/W"}, .accumulate = 3},
                      .hooks = {.weight_decay = 5e-4, .gradient_clipping = 0.5}});
}

TEST_F(FarDeviceTest, LanesGiveTheBitsOfTheReproducibleMode) {
  for (const LaneNorm norm : {LaneNorm::kSync, LaneNorm::kLane}) {
    ExpectSameTraining(vgg_, pictures_, vgg_labels_,
                       {.network = {.lanes = 2, .lane_norm = norm, .accumulate = 2}});
  }
}

// Gradients of float16 overflow at first, and steps are left out.
TEST_F(FarDeviceTest, SixteenBitsAreTrainedToTheSameBits) {
  for (const DType compute : {DType::kBfloat16, DType::kFloat16}) {
    for (const int parts : {1, 2}) {
      JobOptions options{.network = {.compute_dtype = compute, .accumulate = parts},
                         .iterations = 8};
      if (compute == DType::kFloat16) options.loss_scale = 0x1p17;
      ExpectSameTraining(zoo_, Features(DType::kFloat32, {kSamples, 5, 11, 9}),
                         Features(DType::kFloat32, {kSamples, 5}), options);
      options.optimizer = "adam";
      ExpectSameTraining(vgg_, pictures_, vgg_labels_, options);
    }
  }
}

// Where the kernels of a GPU sum in another order a value may round to the next of 16 bits.
TEST_F(FarDeviceTest, TheKernelsOfAGpuTrainIn16BitsAsTheCpuDoes) {
  Graph smooth;
  AddSmooth(smooth);
  for (const DType compute : {DType::kBfloat16, DType::kFloat16}) {
    const JobOptions options{.network = {.compute_dtype = compute}, .iterations = 3};
    Job near(*cpu_, smooth, pictures_, vgg_labels_, options);
    near.trainer.Run();
    FarBackend gpu(std::make_unique<test::HostDevice>(0));
    Job remote(gpu, smooth, pictures_, vgg_labels_, options);
    remote.network.algorithms().Parse(near.network.algorithms().ToString());
    remote.trainer.Run();
    ExpectClose(near.Arrays(), remote.Arrays(), 16 * Roundoff(compute));
    EXPECT_EQ(near.updater.updates(), remote.updater.updates());
  }
}

// The kernels that a GPU is given, as the host runs them: a step is the CPU's but for rounding.
// (Adam would divide rounding by itself where a gradient is next to nothing.)
TEST_F(FarDeviceTest, TheKernelsOfAGpuTrainAsTheCpuDoes) {
  const auto expect_close = [&](const Graph& graph, const Tensor& x, const Tensor& labels,
                                const JobOptions& options) {
    Job near(*cpu_, graph, x, labels, options);
    near.trainer.Run();
    FarBackend gpu(std::make_unique<test::HostDevice>(0));
    Job remote(gpu, graph, x, labels, options);
    remote.network.algorithms().Parse(near.network.algorithms().ToString());
    remote.trainer.Run();
    ExpectClose(near.Arrays(), remote.Arrays(), 1e-4);
    const double loss = near.trainer.last_sums().loss;
    EXPECT_NEAR(remote.trainer.last_sums().loss, loss, 1e-4 * std::abs(loss));
  };
  expect_close(vgg_, pictures_, vgg_labels_, {.iterations = 2});
  expect_close(zoo_, Features(DType::kFloat32, {kSamples, 5, 11, 9}),
               Features(DType::kFloat32, {kSamples, 5}), {.iterations = 2});
}

TEST_F(FarDeviceTest, PredictionsComeBackPlain) {
  Job near(*cpu_, vgg_, pictures_, vgg_labels_), remote(far_, vgg_, pictures_, vgg_labels_);
  const Tensor wanted = near.network.Predict(pictures_);
  remote.network.algorithms().Parse(near.network.algorithms().ToString());
  const Tensor found = remote.network.Predict(pictures_);
  EXPECT_TRUE(SameBits(found, wanted));
}

TEST_F(FarDeviceTest, ACheckpointOfTheOneGoesOnOnTheOther) {
  Job whole(*cpu_, vgg_, pictures_, vgg_labels_, {.iterations = 5});
  whole.trainer.Run();
  Job first(*cpu_, vgg_, pictures_, vgg_labels_, {.iterations = 2});
  first.network.algorithms().Parse(whole.network.algorithms().ToString());
  first.trainer.Run();
  Job second(far_, vgg_, pictures_, vgg_labels_, {.iterations = 4});
  second.trainer.Restore(first.trainer.State());
  second.trainer.Run();
  Job third(*cpu_, vgg_, pictures_, vgg_labels_, {.iterations = 5});
  third.trainer.Restore(second.trainer.State());
  third.trainer.Run();
  ExpectSame(whole.Arrays(), third.Arrays());
}

// Prints every so often.
class Printer : public Extension {
 public:
  Printer(int64_t every, bool looks) : every_(every), looks_(looks) {}
  std::string name() const override { return "printer"; }
  Trigger trigger() const override { return Trigger::Iterations(every_); }
  bool looks_at_results() const override { return looks_; }
  void Invoke(Trainer& trainer) override {
    ++invoked;
    if (!looks_) return;
    EXPECT_GT(trainer.TakeInterval().loss, 0);
  }
  int invoked = 0;

 private:
  int64_t every_;
  bool looks_;
};

// A device would idle while the host thinks.
TEST_F(FarDeviceTest, StepsWaitOnlyWhereANumberIsPrinted) {
  const Tensor pictures = Features(DType::kFloat32, {250 * kBatch, 3, 13, 10});
  const Tensor labels(DType::kInt32, Shape({250 * kBatch}));
  for (const int accumulate : {1, 2}) {
    Job job(far_, vgg_, pictures, labels,
            {.network = {.accumulate = accumulate},
             .optimizer = "adam",
             .hooks = {.weight_decay = 5e-4, .gradient_clipping = 0.5},
             .iterations = 250});
    job.trainer.Prepare();
    int64_t before = far_.waits();
    for (int i = 0; i < 100; ++i) job.trainer.Step();
    EXPECT_EQ(far_.waits() - before, 0);
    EXPECT_EQ(job.trainer.interval().batches, 100);
    EXPECT_EQ(far_.waits() - before, 1);
    EXPECT_GT(job.trainer.last_sums().count, 0);
    EXPECT_EQ(far_.waits() - before, 1);

    auto printer = std::make_unique<Printer>(25, true), other = std::make_unique<Printer>(1, false);
    const Printer &prints = *printer, &does_not = *other;
    job.trainer.Extend(std::move(printer));
    job.trainer.Extend(std::move(other));
    before = far_.waits();
    for (int i = 0; i < 100; ++i) job.trainer.Step();
    EXPECT_EQ(far_.waits() - before, 4);
    EXPECT_EQ(prints.invoked, 4);
    EXPECT_EQ(does_not.invoked, 100);
  }
}

// From its second run on a plan's work is only repeated: what changes from step to step, the
// samples, their ids, the epoch and the learning rate, is read from the device's memory.
TEST_F(FarDeviceTest, RepeatedStepsGiveTheBitsOfTheCpu) {
  for (const std::string optimizer : {"momentum", "adam"}) {
    FarBackend far;
    ExpectSameTraining(far, vgg_, pictures_, vgg_labels_,
                       {.optimizer = optimizer,
                        .hooks = {.weight_decay = 5e-4, .gradient_clipping = 0.5},
                        .iterations = 50,
                        .changing_rate = true});
    // 12 epochs and a half of batches of 8, 8, 8 and 2, then one to evaluate.
    EXPECT_EQ(far.recordings(), 3);
    EXPECT_EQ(far.repetitions(), 37 + 11 + 2);
  }
}

// More steps than are noted without a wait, in one epoch.
TEST_F(FarDeviceTest, ManyStepsAreReportedAsOnTheCpu) {
  constexpr int64_t kMany = (StepLog::kSteps + 70) * kBatch;
  Graph graph;
  const Var x = graph.Input("x", {{3}, DType::kFloat32});
  graph.SetLoss(SoftmaxCrossEntropy(Linear(x, {.out = 4}, "fc"),
                                    graph.Input("t", {Shape({}), DType::kInt32})));
  const Tensor features = Features(DType::kFloat32, {kMany, 3});
  Tensor labels(DType::kInt32, Shape({kMany}));
  for (int64_t i = 0; i < kMany; ++i) {
    labels.values<int32_t>()[static_cast<size_t>(i)] = i / 64 % 5 == 4 ? -1 : int32_t(i % 4);
  }
  Job near(*cpu_, graph, features, labels, {.iterations = StepLog::kSteps + 50});
  Job remote(far_, graph, features, labels, {.iterations = StepLog::kSteps + 50});
  near.trainer.Run();
  remote.trainer.Prepare();
  const int64_t before = far_.waits();
  for (int64_t i = 0; i < StepLog::kSteps + 49; ++i) remote.trainer.Step();
  EXPECT_EQ(far_.waits() - before, 1);
  remote.trainer.Run();
  EXPECT_EQ(near.trainer.interval().loss, remote.trainer.interval().loss);
  EXPECT_EQ(near.trainer.interval().metric, remote.trainer.interval().metric);
  EXPECT_EQ(remote.trainer.interval().batches, StepLog::kSteps + 50);
  EXPECT_EQ(near.updater.updates(), remote.updater.updates());
  ExpectSame(near.Arrays(), remote.Arrays());

  // As many batches are evaluated: one wait to make room, one for the result.
  const LossSums wanted = *EvaluateAll(near.network, near.source);
  const int64_t before_evaluation = far_.waits();
  const LossSums found = *EvaluateAll(remote.network, remote.source);
  EXPECT_EQ(far_.waits() - before_evaluation, 2);
  ExpectSame(found, wanted);
}

TEST_F(FarDeviceTest, AnEvaluationThatWasBrokenOffLeavesNothing) {
  for (const int accumulate : {1, 3}) {
    const JobOptions options{.network = {.accumulate = accumulate}};
    Job near(*cpu_, vgg_, pictures_, vgg_labels_, options);
    Job remote(far_, vgg_, pictures_, vgg_labels_, options);
    const LossSums wanted = *EvaluateAll(near.network, near.source);
    remote.network.algorithms().Parse(near.network.algorithms().ToString());
    int asked = 0;
    EXPECT_FALSE(EvaluateAll(remote.network, remote.source, [&] { return ++asked == 3; }));
    ExpectSame(*EvaluateAll(remote.network, remote.source), wanted);
    // Nor does anybody wait for the batches of one.
    const LossSums next = *EvaluateAll(near.network, near.source);  // in another order
    const int64_t before = far_.waits();
    ExpectSame(*EvaluateAll(remote.network, remote.source), next);
    EXPECT_EQ(far_.waits() - before, 1);
  }
}

TEST_F(FarDeviceTest, LanesAreNotEvaluatedLate) {
  Job remote(far_, vgg_, pictures_, vgg_labels_, {.network = {.lanes = 2}});
  EXPECT_THROW(remote.network.EvaluateLate(remote.source.Next()), ConfigError);
}

// (The CPU's running statistics have followed the batch; nobody saves them.)
TEST_F(FarDeviceTest, ABadLabelIsNamedAndNothingIsTrainedOnIt) {
  vgg_labels_.values<int32_t>()[19] = 7;
  ExpectSameFailure(far_, "label 7 in row", false);
}

TEST_F(FarDeviceTest, ABadLabelThatAGpuFindsIsNamedAndNothingIsTrainedOnIt) {
  vgg_labels_.values<int32_t>()[19] = 7;
  FarBackend gpu(std::make_unique<test::HostDevice>(0));
  Job job(gpu, vgg_, pictures_, vgg_labels_, {.iterations = 4});
  EXPECT_THAT(ErrorOf(job), testing::HasSubstr("label 7 in row"));
  const auto failed = job.Arrays();
  job.trainer.Settle();
  ExpectSame(failed, job.Arrays());
  // As many steps as went well, and no other.
  Job shorter(gpu, vgg_, pictures_, vgg_labels_);
  shorter.network.algorithms().Parse(job.network.algorithms().ToString());
  for (int64_t i = 0; i < job.trainer.clock().iteration; ++i) shorter.trainer.Step();
  ExpectSame(failed, shorter.Arrays());
}

TEST_F(FarDeviceTest, ANaNInTheDataIsFoundAndItsRowNamed) {
  pictures_.values<float>()[11 * 3 * 130 + 5] = std::numeric_limits<float>::quiet_NaN();
  ExpectSameFailure(far_, "row 11", true);
}

TEST_F(FarDeviceTest, AStateIsThatOfStepsThatWentWell) {
  Job job(far_, vgg_, pictures_, vgg_labels_, {.iterations = 5});
  for (int i = 0; i < 3; ++i) job.trainer.Step();
  EXPECT_EQ(job.trainer.State().Integer("trainer/interval_batches"), 3);
  Job broken(far_, vgg_, pictures_, vgg_labels_, {.iterations = 4});
  Tensor weights = broken.network.variables().Get("fc2/W");
  weights.values<float>()[0] = std::numeric_limits<float>::infinity();
  broken.network.variables().Set("fc2/W", weights);
  for (int i = 0; i < 3; ++i) broken.trainer.Step();
  broken.trainer.Restore(job.trainer.State());  // what was not looked at is gone
  EXPECT_EQ(broken.trainer.interval().batches, 3);
}

TEST_F(FarDeviceTest, WhatAHostArrayWouldBreakIsRefused) {
  const float x[4] = {};
  EXPECT_THROW(far_.reduce().FirstNonFinite(DType::kFloat32, 4, x), Error);
}

}  // namespace
}  // namespace lockstep
